//! The kernel side of the agent: loads the programs, keeps maps and links pinned, writes maps. Knows nothing of
//! Kubernetes: it takes map operations, devices and addresses.

mod error;
mod options;
mod report;

pub use error::Error;
pub use options::{Options, PortRange, Settings, Sizes};
pub use report::{Attachment, Counter, MapFill, Report};
