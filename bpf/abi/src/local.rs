//! The node's own addresses: which frontends with the address "any" are served on them.

/// Bits of the interface index in a value.
pub const IFINDEX: u32 = HOST_PORTS_ONLY - 1;
/// The address serves hostPorts, which have every address of the node, but is none of those chosen for NodePorts.
pub const HOST_PORTS_ONLY: u32 = 1 << 31;
