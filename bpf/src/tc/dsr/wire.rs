//! What differs between the address families where packets are encapsulated.

use crate::tc::{
    route::{self, Route},
    skb::Skb,
    wire::Wire,
};
use aya_ebpf::{
    bindings::{BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6},
    programs::TcContext,
};
use kpr_abi::{Addr4, Addr6, FlowValue, Reason, V4, V6};
use kpr_packet::{
    Unparsed,
    encap::{self, Dispatch, Outer},
    ipv4, ipv6, too_big,
};

/// A family's packets, inside of packets of the same family.
pub trait Tunnel: Wire {
    /// What [`aya_ebpf::helpers::generated::bpf_skb_adjust_room`] is told about the outer header.
    const ENCAPSULATES: u64;
    /// The protocol of a packet inside of another one.
    const IPIP: u8;
    /// ICMP.
    const ICMP: u8;
    /// Length of the headers of an ICMP error, in words.
    const ERROR_WORDS: usize;
    /// The headers of an ICMP error; of IPv4's, only the first seven words count.
    type ErrorHeaders;

    /// Length of all that stands in front of the inner packet.
    fn overhead(dispatch: Dispatch) -> usize;

    /// Writes the outer headers.
    fn write_outer(skb: &Skb, l3: usize, outer: &Outer<Self::Addr>) -> Option<()>;

    /// Reads the outer headers.
    fn read_outer(skb: &Skb, l3: usize, outer: &mut Outer<Self::Addr>) -> Result<(), Unparsed>;

    /// Exchanges the outer addresses.
    fn turn(skb: &Skb, l3: usize, outer: &Outer<Self::Addr>) -> Option<()>;

    /// Counts a hop of a packet; none if that was its last.
    fn hop(skb: &Skb, l3: usize) -> Option<u16>;

    /// How an encapsulated packet leaves this node, and how long it may be.
    #[inline(always)]
    fn route_outer(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Self::Addr>) -> Result<Route, Reason> {
        route::measure(ctx, Self::way(Skb(ctx).ifindex(), proto, class, to))
    }

    /// Headers of the ICMP error that says "too big".
    fn error_headers(src: Self::Addr, dst: Self::Addr, mtu: u16, quoted: u32) -> Self::ErrorHeaders;
}

impl Tunnel for V4 {
    const ENCAPSULATES: u64 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 as u64;
    const IPIP: u8 = encap::IPV4;
    const ICMP: u8 = 1;
    const ERROR_WORDS: usize = too_big::HEADERS4 / 4;
    type ErrorHeaders = [u32; too_big::HEADERS4 / 4];

    #[inline(always)]
    fn overhead(dispatch: Dispatch) -> usize {
        ipv4::HEADER + dispatch.between()
    }

    #[inline(always)]
    fn write_outer(skb: &Skb, l3: usize, outer: &Outer<Addr4>) -> Option<()> {
        encap::write4(skb, l3, outer)
    }

    #[inline(always)]
    fn read_outer(skb: &Skb, l3: usize, outer: &mut Outer<Addr4>) -> Result<(), Unparsed> {
        encap::read4(skb, l3, outer)
    }

    #[inline(always)]
    fn turn(skb: &Skb, l3: usize, outer: &Outer<Addr4>) -> Option<()> {
        encap::turn4(skb, l3, outer)
    }

    #[inline(always)]
    fn hop(skb: &Skb, l3: usize) -> Option<u16> {
        encap::hop4(skb, l3)
    }

    #[inline(always)]
    fn error_headers(src: Addr4, dst: Addr4, mtu: u16, quoted: u32) -> Self::ErrorHeaders {
        too_big::headers4(src, dst, mtu, quoted)
    }
}

impl Tunnel for V6 {
    const ENCAPSULATES: u64 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 as u64;
    const IPIP: u8 = encap::IPV6;
    const ICMP: u8 = 58;
    const ERROR_WORDS: usize = too_big::HEADERS6 / 4;
    type ErrorHeaders = [u32; too_big::HEADERS6 / 4];

    #[inline(always)]
    fn overhead(dispatch: Dispatch) -> usize {
        ipv6::HEADER + dispatch.between()
    }

    #[inline(always)]
    fn write_outer(skb: &Skb, l3: usize, outer: &Outer<Addr6>) -> Option<()> {
        encap::write6(skb, l3, outer)
    }

    #[inline(always)]
    fn read_outer(skb: &Skb, l3: usize, outer: &mut Outer<Addr6>) -> Result<(), Unparsed> {
        encap::read6(skb, l3, outer)
    }

    #[inline(always)]
    fn turn(skb: &Skb, l3: usize, outer: &Outer<Addr6>) -> Option<()> {
        encap::turn6(skb, l3, outer)
    }

    #[inline(always)]
    fn hop(skb: &Skb, l3: usize) -> Option<u16> {
        encap::hop6(skb, l3)
    }

    #[inline(always)]
    fn error_headers(src: Addr6, dst: Addr6, mtu: u16, quoted: u32) -> Self::ErrorHeaders {
        too_big::headers6(src, dst, mtu, quoted)
    }
}
