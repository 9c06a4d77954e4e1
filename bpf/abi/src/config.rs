//! Names of the read-only data that the agent sets when it loads the programs. The verifier sees constants and removes
//! the branches that they rule out.

/// First and last NodePort (`service-node-port-range`), machine byte order; `u16`.
pub const NODE_PORT_MIN: &str = "NODE_PORT_MIN";
/// See [`NODE_PORT_MIN`].
pub const NODE_PORT_MAX: &str = "NODE_PORT_MAX";
/// First and last source port that SNAT may use, machine byte order; `u16`.
pub const SNAT_PORT_MIN: &str = "SNAT_PORT_MIN";
/// See [`SNAT_PORT_MIN`].
pub const SNAT_PORT_MAX: &str = "SNAT_PORT_MAX";
/// Cookie of the node's own network namespace (`SO_NETNS_COOKIE`, 5.14), 0 if unknown: only sockets in it see NodePorts on
/// loopback addresses; `u64`.
pub const HOST_NETNS_COOKIE: &str = "HOST_NETNS_COOKIE";
/// [`features`], or-ed; `u32`.
pub const FEATURES: &str = "FEATURES";

/// What the kernel can do and what the user asked for.
pub mod features {
    /// `bpf_set_retval` exists (5.18): a refused connect returns ECONNREFUSED instead of EPERM.
    pub const SET_RETVAL: u32 = 1;
    /// Sockets outside the node's own network namespace are left alone (`socketLB.hostNamespaceOnly`).
    pub const HOST_NAMESPACE_ONLY: u32 = 1 << 1;
    /// Encapsulated packets are taken, and flows that are known to be encapsulated go on (`loadBalancer.mode` DSR or Hybrid, and for a
    /// while after that).
    pub const TUNNELS: u32 = 1 << 3;
    /// New flows of TCP to backends on other nodes are encapsulated (`loadBalancer.mode` DSR or Hybrid).
    pub const DSR_TCP: u32 = 1 << 4;
    /// So are those of any other protocol (`loadBalancer.mode` DSR).
    pub const DSR_OTHERS: u32 = 1 << 5;
    /// Packets are encapsulated as IP in IP, and not as Geneve (`loadBalancer.dsrDispatch`).
    pub const IPIP: u32 = 1 << 6;
    /// Of two backends that are drawn, the one with fewer connections is chosen (`loadBalancer.algorithm: LeastConnections`).
    pub const LEAST_CONNECTIONS: u32 = 1 << 2;
}
