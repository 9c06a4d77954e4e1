//! Frontends: what a client asks for, and which backends may answer.

use crate::{
    addr::{Addr4, Addr6, Be16},
    layout::layout,
};

/// Key of a frontend. `addr` [`Address::ANY`](crate::Address::ANY) means "any address of this node" (NodePort, HostPort).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ServiceKey<A> {
    /// Destination address of the client's packet or connect.
    pub addr: A,
    /// Destination port.
    pub port: Be16,
    /// IP protocol number.
    pub proto: u8,
    /// Always 0; the eBPF side compares all bytes of a key.
    pub zero: u8,
}

impl<A> ServiceKey<A> {
    /// A key of the given destination.
    #[inline(always)]
    pub const fn new(addr: A, port: Be16, proto: u8) -> Self {
        Self {
            addr,
            port,
            proto,
            zero: 0,
        }
    }
}

/// A run of consecutive entries in a family's slot table; each slot holds a backend id. Ids ascend, so that a look-up can tell
/// whether a backend is in the slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Slice {
    /// Index of the first slot.
    pub base: u32,
    /// Number of slots; 0 means that no backend may be chosen from this list.
    pub len: u32,
}

/// Value of a frontend. One write of this value publishes a change: slots and backends that it names are written before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ServiceValue {
    /// Stable id of the frontend (never 0); keeps its value across agent restarts.
    pub id: u32,
    /// [`flags`], or-ed.
    pub flags: u32,
    /// All usable endpoints of the cluster (traffic policy `Cluster`).
    pub cluster: Slice,
    /// Usable endpoints on this node (traffic policy `Local`).
    pub local: Slice,
    /// Idle time after which session affinity ends, in seconds; 0 without affinity.
    pub affinity_seconds: u32,
    /// Frontends of one service port share their affinity: the same number in each. Never 0.
    pub affinity_group: u32,
}

/// Flags of a [`ServiceValue`].
pub mod flags {
    /// The frontend is a ClusterIP.
    pub const CLUSTER_IP: u32 = 1;
    /// The frontend is a NodePort.
    pub const NODE_PORT: u32 = 1 << 1;
    /// The frontend is an IP of `status.loadBalancer.ingress`.
    pub const LOAD_BALANCER: u32 = 1 << 2;
    /// The frontend is one of `spec.externalIPs`.
    pub const EXTERNAL_IP: u32 = 1 << 3;
    /// The frontend is a `hostPort` of a pod on this node.
    pub const HOST_PORT: u32 = 1 << 4;
    /// The bits that say which kind of frontend this is.
    pub const KIND: u32 = CLUSTER_IP | NODE_PORT | LOAD_BALANCER | EXTERNAL_IP | HOST_PORT;
    /// Traffic from outside uses only the `local` slice (`externalTrafficPolicy: Local`, on external frontends).
    pub const EXTERNAL_LOCAL: u32 = 1 << 8;
    /// Traffic from pods and from the node uses only the `local` slice (`internalTrafficPolicy: Local`, on ClusterIPs).
    pub const INTERNAL_LOCAL: u32 = 1 << 9;
    /// Some endpoint is usable somewhere: without a local one, traffic policy `Local` drops instead of refusing.
    pub const HAS_ENDPOINTS: u32 = 1 << 10;
    /// New flows stick to the backend of the client's last flow.
    pub const AFFINITY: u32 = 1 << 11;
    /// Slices are Maglev tables: index them by the flow's hash.
    pub const MAGLEV: u32 = 1 << 12;
    /// Clients must be inside the frontend's source ranges.
    pub const SOURCE_RANGES: u32 = 1 << 13;
}

layout!(ServiceKey<Addr4>, size 8, align 4, fields [Addr4, Be16, u8, u8]);
layout!(ServiceKey<Addr6>, size 20, align 4, fields [Addr6, Be16, u8, u8]);
layout!(Slice, size 8, align 4, fields [u32, u32]);
layout!(ServiceValue, size 32, align 4, fields [u32, u32, Slice, Slice, u32, u32]);
