//! The kernel side of the agent: loads the programs, keeps maps and links pinned, writes maps. Knows nothing of
//! Kubernetes: it takes map operations, devices and addresses.

mod array;
mod batches;
mod cgroup;
mod checks;
pub mod dump;
mod error;
mod family;
mod features;
mod filter;
mod flows;
mod hand_over;
mod intact;
mod kernel;
mod link_header;
mod links;
mod load;
mod local_ports;
mod noted;
mod object;
mod options;
mod packet_hooks;
mod peers;
mod pins;
mod report;
mod reserved_ports;
mod source_ranges;
mod sys;
mod tables;
mod trial;
mod variants;
mod verify;
mod xdp;

pub use checks::{cgroup2_mount, preflight};
pub use error::Error;
pub use family::FamilyTables;
pub use flows::{Flow, FlowList, FlowState, FlowTable, Path, SnatUse, Sweep, Timeouts, flow_clock};
pub use hand_over::HandOver;
pub use kernel::Datapath;
pub use options::{Acceleration, Dsr, DsrDispatch, Options, PortRange, Settings, Sizes, SocketLb, TcChoice};
pub use peers::Peers;
pub use pins::Pins;
pub use report::{Accelerated, Attachment, Counter, MapFill, Report, XdpMode, fill};
pub use tables::{Contents, MapFamily};
pub use trial::{Side, Trial, Verdict};
pub use variants::{Variant, Verified, features, load_variants};
