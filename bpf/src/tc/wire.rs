//! What differs between the address families in tc, beside their [`Headers`]: the way out, and ICMP errors.

use super::{
    route::{self, Route},
    skb::Skb,
};
use crate::headers::Headers;
use aya_ebpf::programs::TcContext;
use kpr_abi::{FlowValue, Reason, V4, V6};
use kpr_packet::{IcmpError, TransportChange, Unparsed, ipv4, ipv6};

/// A family's packets.
pub trait Wire: Headers {
    /// How a packet of this protocol and class of service leaves this node once it is translated.
    #[inline(always)]
    fn route(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Self::Addr>) -> Result<Route, Reason> {
        route::lookup(ctx, Self::way(Skb(ctx).ifindex(), proto, class, to))
    }

    /// The same, for packets of a flow that is to remember its way.
    #[inline(always)]
    fn route_of_flow(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Self::Addr>) -> Result<Route, Reason> {
        route::lookup_way(ctx, Self::way(Skb(ctx).ifindex(), proto, class, to))
    }

    /// How a translated error leaves this node.
    #[inline(always)]
    fn route_error(
        ctx: &TcContext,
        report: &IcmpError<Self::Addr>,
        to: &FlowValue<Self::Addr>,
    ) -> Result<Route, Reason> {
        // The way of the flow itself: its ports keep multipath routes together.
        Self::route(ctx, report.answer.proto, report.class, to)
    }

    /// Reads an ICMP error whose network header is at `l3`.
    fn parse_error(skb: &Skb, l3: usize, report: &mut IcmpError<Self::Addr>) -> Result<(), Unparsed>;

    /// Writes the translation into the error and the packet that it quotes, all but the ICMP checksum.
    fn rewrite_error(
        skb: &Skb,
        report: &IcmpError<Self::Addr>,
        src: Self::Addr,
        dst: Self::Addr,
        quoted: &FlowValue<Self::Addr>,
        hop: bool,
    ) -> Option<TransportChange>;
}

impl Wire for V4 {
    #[inline(always)]
    fn parse_error(skb: &Skb, l3: usize, report: &mut IcmpError<Self::Addr>) -> Result<(), Unparsed> {
        ipv4::parse_error(skb, l3, report)
    }

    #[inline(always)]
    fn rewrite_error(
        skb: &Skb,
        report: &IcmpError<Self::Addr>,
        src: Self::Addr,
        dst: Self::Addr,
        quoted: &FlowValue<Self::Addr>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv4::rewrite_error(skb, report, src, dst, quoted, hop)
    }
}

impl Wire for V6 {
    #[inline(always)]
    fn parse_error(skb: &Skb, l3: usize, report: &mut IcmpError<Self::Addr>) -> Result<(), Unparsed> {
        ipv6::parse_error(skb, l3, report)
    }

    #[inline(always)]
    fn rewrite_error(
        skb: &Skb,
        report: &IcmpError<Self::Addr>,
        src: Self::Addr,
        dst: Self::Addr,
        quoted: &FlowValue<Self::Addr>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv6::rewrite_error(skb, report, src, dst, quoted, hop)
    }
}
