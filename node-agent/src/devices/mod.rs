//! The node's network devices: which there are, and which of them lead outside.

mod pod_facing;
mod qdisc;
mod route;
mod select;
mod veth;
mod watch;

use std::net::IpAddr;

pub use pod_facing::pod_facing;
pub use qdisc::{QdiscError, remove_clsact};
pub use route::way_to;
pub use select::{Selection, UnknownDevices, is_tunnel, select};
pub use veth::{Holder, holder};
pub use watch::{Watcher, list};

/// Name of the device of this index; the index itself, if it is gone.
pub fn device_name(ifindex: u32) -> String {
    let name = nix::net::if_::if_indextoname(ifindex).ok();
    name.and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| ifindex.to_string())
}

/// A network device of the node's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Name, such as "eth0".
    pub name: String,
    /// Interface index.
    pub ifindex: u32,
    /// Addresses on it, in the kernel's order, without link-local ones.
    pub addresses: Vec<IpAddr>,
    /// Whether a default route leaves by it, in any routing table.
    pub has_default_route: bool,
    /// Whether it is up.
    pub up: bool,
    /// What kind of virtual device it is ("veth", "bridge", "vxlan", …); empty for hardware.
    pub kind: String,
}
