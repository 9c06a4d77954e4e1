//! Packet headers and checksums: what the eBPF programs do to packets that is not a kernel helper. It compiles
//! for the host too, where tests and fuzzers reach it.
//!
//! Nothing here copies a packet: headers are [`Window`]s into it, which the caller has checked against its end.
#![no_std]
#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets inside headers, and fields of packed words"
)]
#![expect(
    clippy::inline_always,
    reason = "eBPF programs call these per packet, and a call costs more than the body"
)]

#[cfg(test)]
mod buffer;
pub mod checksum;
mod crc32c;
pub mod encap;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod sctp;
pub mod too_big;
mod transport;
mod window;

pub use window::Window;

use checksum::Change;
use kpr_abi::{Be16, FlowKey, proto};

/// Where a packet's headers are read from.
pub trait Packet {
    /// A view of `N` bytes at `offset` from the packet's first byte, or `None` where the packet ends before.
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>>;

    /// Walks over IPv6 extension headers, as [`ipv6::walk`]; a packet in the kernel does it in a function of its own.
    #[inline(always)]
    fn walk6(&self, first: u8, start: usize) -> ipv6::Chain
    where
        Self: Sized,
    {
        ipv6::walk_windows(self, first, start)
    }
}

/// What of a packet decides its way.
///
/// Parsers fill one that the caller made: a large value inside a `Result` is partly undefined in the error case, and a compiler
/// that moves undefined registers about meets a verifier that refuses to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parsed<A> {
    /// The packet's tuple, direction 0.
    pub key: FlowKey<A>,
    /// Offset of the network header.
    pub l3: usize,
    /// Offset of the transport header.
    pub l4: usize,
    /// What the transport header tells of the flow: [`signal`], or-ed.
    pub signals: u8,
    /// How many more hops the packet may take (time to live, hop limit).
    pub hops: u8,
    /// Type of service, traffic class.
    pub class: u8,
    /// Which part of a packet this is.
    pub part: Part,
    /// What all fragments of a packet have in common, as it stands in the header; 0 where that costs a look.
    pub id: u32,
}

/// Whether a packet is whole. Four bytes without a payload: an enum with padding in it makes the compiler copy undefined
/// bytes, which the verifier refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// It is.
    #[default]
    Whole = 0,
    /// The first of several fragments: the others have no ports.
    First = 1,
    /// A later fragment: the ports in its key are 0.
    Later = 2,
}

/// Where a packet is for: enough to tell that it is no service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<A> {
    /// Its address.
    pub addr: A,
    /// Its port.
    pub port: Be16,
    /// Protocol of the packet.
    pub proto: u8,
    /// Offset of the transport header.
    pub l4: usize,
}

impl<A> Destination<A> {
    /// Whether the packet opens a connection of TCP, or ends before it could tell.
    #[inline(always)]
    pub fn may_open<P: Packet>(&self, packet: &P) -> bool {
        self.proto == proto::TCP
            && transport::tcp_signals_at(packet, self.l4).is_none_or(|told| told & signal::OPENS != 0)
    }
}

/// An ICMP error about a packet of TCP, UDP or SCTP. Filled by parsers, as [`Parsed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpError<A> {
    /// Who reports.
    pub src: A,
    /// To whom.
    pub dst: A,
    /// Offset of the network header.
    pub l3: usize,
    /// Offset of the ICMP header.
    pub icmp: usize,
    /// Offset of the quoted packet's network header.
    pub inner_l3: usize,
    /// Offset of the quoted packet's transport header.
    pub inner_l4: usize,
    /// How many more hops the report may take.
    pub hops: u8,
    /// Type of service, traffic class.
    pub class: u8,
    /// Tuple of a packet that would answer the quoted one, direction 0: the flow's other direction.
    pub answer: FlowKey<A>,
}

/// How a transport checksum has to change after addresses and ports were rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportChange {
    /// Change of the pseudo header: the addresses.
    pub pseudo: Change,
    /// Change of the transport header itself: the ports.
    pub ports: Change,
}

/// Why a packet has no tuple that a service could be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// A header is cut off or contradicts itself.
    Malformed,
    /// ICMP: an error may be about a flow.
    Icmp,
    /// A packet inside of another one, without anything between the two IP headers.
    Encapsulated,
    /// A transport protocol without ports, or one that Services don't have.
    OtherProtocol,
}

/// What a packet tells of its flow, whatever the transport.
pub mod signal {
    use kpr_abi::flow::state;

    /// It may begin one: TCP's first SYN, SCTP's INIT, any datagram of UDP.
    pub const OPENS: u8 = 1;
    /// Its sender has nothing more to send: TCP's FIN, SCTP's SHUTDOWN.
    pub const CLOSES: u8 = state::CLOSED;
    /// The flow is over: TCP's RST, SCTP's ABORT and SHUTDOWN COMPLETE.
    pub const ENDS: u8 = state::ENDED;
    /// Its sender takes the flow that the other side has begun: TCP's SYN with ACK.
    pub const ACCEPTS: u8 = 1 << 3;
    /// Those that a flow remembers, as bits of its [`state`].
    pub const LASTING: u8 = CLOSES | ENDS;
}

/// TCP flags of the 14th byte of the TCP header (RFC 9293 §3.1).
mod tcp {
    /// No more data from the sender.
    pub(crate) const FIN: u8 = 0x01;
    /// First packet of a connection, with [`ACK`] its answer.
    pub(crate) const SYN: u8 = 0x02;
    /// Connection is reset.
    pub(crate) const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub(crate) const ACK: u8 = 0x10;
}
