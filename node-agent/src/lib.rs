//! The kpr node agent: Services and EndpointSlices in, eBPF maps and programs out.
//!
//! Data flows one way, and each step is a module with a small public face:
//!
//! ```text
//! watch  ->  model  ->  plan  ->  datapath
//! (kube)     (pure)     (pure)    (maps, programs, links)
//! ```

pub mod agent;
pub mod cli;
pub mod cluster;
pub mod daemon;
pub mod datapath;
pub mod devices;
pub mod events;
mod hash;
pub mod health;
pub mod maglev;
mod memory;
pub mod metrics;
pub mod model;
pub mod netfilter;
pub mod observe;
pub mod plan;
mod recorder;
mod request;
pub mod sockets;
pub mod status;
pub mod sweeper;
pub mod takeover;
pub mod watch;
