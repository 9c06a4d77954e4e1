//! Connection tracking of the packet path: one entry per direction of a flow, keyed by the packet as it arrives.

use crate::{
    addr::{Addr4, Addr6, Address, Be16},
    layout::layout,
    way::Way,
};

/// A packet's tuple as one of the hooks sees it, before translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FlowKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port.
    pub sport: Be16,
    /// Destination port.
    pub dport: Be16,
    /// IP protocol number.
    pub proto: u8,
    /// [`direction`].
    pub direction: u8,
    /// Always 0.
    pub zero: u16,
}

/// Which way a packet of a tracked flow goes.
pub mod direction {
    /// From the client to the frontend, seen at the ingress of an external device.
    pub const FORWARD: u8 = 0;
    /// From the backend to the client, seen at the egress (local backend) or ingress (remote backend) of a device.
    pub const REPLY: u8 = 1;
}

/// What the packet becomes, and when one was last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FlowValue<A> {
    /// New source address.
    pub src: A,
    /// New destination address.
    pub dst: A,
    /// New source port.
    pub sport: Be16,
    /// New destination port.
    pub dport: Be16,
    /// The chosen backend's id; it belongs to this flow only while the backend array still holds the same address and port.
    pub backend: u32,
    /// When the last packet of this direction was seen, in seconds of `CLOCK_MONOTONIC_COARSE`.
    pub last_seen: u32,
    /// [`state`] of this direction, or-ed. Written by this direction's packets only.
    pub state: u8,
    /// [`action`].
    pub action: u8,
    /// Interface index of the external device that the flow's first packet came in by. 0: a pod's flow, or an index that does not
    /// fit.
    pub device: u16,
    /// The way of packets that are sent on, for as long as `last_seen` is now: the first packet of each second asks for the route.
    pub way: Way,
}

/// A fragmented packet: what its fragments have in common (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FragmentKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Identification, as it stands in the header.
    pub id: u32,
    /// IP protocol number.
    pub proto: u8,
    /// Always 0.
    pub zero: [u8; 3],
}

/// Ports of a fragmented packet: only its first fragment carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FragmentValue {
    /// Source port.
    pub sport: Be16,
    /// Destination port.
    pub dport: Be16,
}

/// Idle seconds after which a flow with [`action::YIELD`] is nobody's again, since netfilter has forgotten it by then
/// (`nf_conntrack_udp_timeout_stream`; and `nf_conntrack_udp_timeout`, for one without [`state::SEEN`]).
pub const YIELD_SECONDS: u32 = 120;
/// See [`YIELD_SECONDS`].
pub const YIELD_FIRST_SECONDS: u32 = 30;

/// State bits of one direction of a flow.
pub mod state {
    /// A packet of this direction was seen.
    pub const SEEN: u8 = 1;
    /// Its sender has closed: TCP FIN, SCTP SHUTDOWN.
    pub const CLOSED: u8 = 1 << 1;
    /// Its sender has ended the flow: TCP RST, SCTP ABORT or SHUTDOWN COMPLETE.
    pub const ENDED: u8 = 1 << 2;
    /// A pod of this node began the flow with a packet on its device: the flow lives only while programs are there.
    pub const FROM_POD: u8 = 1 << 3;
    /// A packet other than one that opens a flow (TCP SYN) was seen. A client that sent nothing else has not shaken hands.
    pub const PAST_SYN: u8 = 1 << 4;
    /// The flow's packets come encapsulated from another node (DSR): it lives only while programs take them.
    pub const ENCAPSULATED: u8 = 1 << 5;
}

/// What to do with the packet once it is translated.
pub mod action {
    /// Give it to the node's own stack (local backend), or let it go on out of the device (its reply).
    pub const PASS: u8 = 0;
    /// Look up the route of the new destination and send it out there (remote backend, and its reply).
    pub const FORWARD: u8 = 1;
    /// Leave it as it is: netfilter has this flow (one from before kpr, or one that kpr has handed over) and translates its packets.
    /// Such a flow has a forward entry only.
    pub const YIELD: u8 = 2;
    /// Drop it: for the moment in which the flow is handed over, it has no one to translate it. Its sender sends it again.
    pub const HOLD: u8 = 3;
    /// Send it to the backend's node as it is, encapsulated (DSR). The translation has the outer addresses: source is this node,
    /// destination the backend, whose port is there as well; the source port is 0. Such a flow has a forward entry only: its answers do
    /// not come by here.
    pub const TUNNEL: u8 = 4;
}

impl<A: Address> FlowKey<A> {
    /// Key of the packets that answer those translated to `value`.
    #[inline(always)]
    pub fn answering(value: &FlowValue<A>, proto: u8, direction: u8) -> Self {
        Self {
            src: value.dst,
            dst: value.src,
            sport: value.dport,
            dport: value.sport,
            proto,
            direction,
            zero: 0,
        }
    }

    /// Key of the same flow's other direction.
    #[inline(always)]
    pub fn twin(&self, value: &FlowValue<A>) -> Self {
        Self::answering(value, self.proto, self.direction ^ 1)
    }
}

layout!(FlowKey<Addr4>, size 16, align 4, fields [Addr4, Addr4, Be16, Be16, u8, u8, u16]);
layout!(FlowKey<Addr6>, size 40, align 4, fields [Addr6, Addr6, Be16, Be16, u8, u8, u16]);
layout!(FlowValue<Addr4>, size 40, align 8, fields [Addr4, Addr4, Be16, Be16, u32, u32, u8, u8, u16, Way]);
layout!(FlowValue<Addr6>, size 64, align 8, fields [Addr6, Addr6, Be16, Be16, u32, u32, u8, u8, u16, Way]);
layout!(FragmentKey<Addr4>, size 16, align 4, fields [Addr4, Addr4, u32, u8, [u8; 3]]);
layout!(FragmentKey<Addr6>, size 40, align 4, fields [Addr6, Addr6, u32, u8, [u8; 3]]);
layout!(FragmentValue, size 4, align 2, fields [Be16, Be16]);
