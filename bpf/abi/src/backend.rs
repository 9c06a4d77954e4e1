//! Backends: the endpoints that frontends lead to.

use crate::{
    addr::{Addr4, Addr6, Be16},
    layout::layout,
};

/// A backend, found by its id in its family's backend array. All zero: no such backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct BackendValue<A> {
    /// Address of the pod, or of whatever the EndpointSlice names.
    pub addr: A,
    /// Target port.
    pub port: Be16,
    /// IP protocol number; 0 marks an unused id.
    pub proto: u8,
    /// [`flags`], or-ed.
    pub flags: u8,
}

/// Flags of a [`BackendValue`].
pub mod flags {
    /// The endpoint is on this node: forward without SNAT, up the node's own stack.
    pub const LOCAL: u8 = 1;
    /// The endpoint is terminating: flows it has go on, new ones come only if nothing else is left (KEP-1669).
    pub const TERMINATING: u8 = 1 << 1;
    /// The endpoint's node takes encapsulated packets: new flows may get there by DSR.
    pub const DSR: u8 = 1 << 2;
    /// No service leads to it any more: datagrams of the flows it has go elsewhere, while its id waits for its last readers.
    pub const GONE: u8 = 1 << 3;
}

layout!(BackendValue<Addr4>, size 8, align 4, fields [Addr4, Be16, u8, u8]);
layout!(BackendValue<Addr6>, size 20, align 4, fields [Addr6, Be16, u8, u8]);
