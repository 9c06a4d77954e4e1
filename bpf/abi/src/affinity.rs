//! Session affinity: which backend a client had last.

use crate::{
    addr::{Addr4, Addr6},
    layout::layout,
};

/// A client of a service port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct AffinityKey<A> {
    /// Source address of a client outside; unspecified for sockets of this node.
    pub client: A,
    /// Network namespace of a socket of this node (`bpf_get_netns_cookie`), low and high word; 0 for clients outside.
    pub netns: [u32; 2],
    /// [`ServiceValue::affinity_group`](crate::ServiceValue::affinity_group).
    pub group: u32,
}

/// Where its last connection went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct AffinityValue {
    /// The backend's id; it counts only while it is in the slice that applies.
    pub backend: u32,
    /// When the client last began a connection, in seconds of `CLOCK_MONOTONIC_COARSE`.
    pub last_used: u32,
}

layout!(AffinityKey<Addr4>, size 16, align 4, fields [Addr4, [u32; 2], u32]);
layout!(AffinityKey<Addr6>, size 28, align 4, fields [Addr6, [u32; 2], u32]);
layout!(AffinityValue, size 8, align 4, fields [u32, u32]);
