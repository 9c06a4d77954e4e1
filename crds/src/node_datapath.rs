//! `NodeDatapath`: the datapath of one node.

mod spec;
mod status;

pub use spec::{NodeDatapath, NodeDatapathSpec, Phase};
pub use status::{Counts, DeviceStatus, KernelFeature, KernelStatus, MapStatus, NodeDatapathStatus, Programming};
