//! What differs between the address families on the wire; everything else is shared.

use super::{
    route::{self, Route},
    skb::Skb,
};
use crate::maps::Tables;
use aya_ebpf::programs::TcContext;
use kpr_abi::{Addr4, Addr6, Be16, FlowValue, Reason, V4, V6};
use kpr_packet::{IcmpError, Parsed, TransportChange, Unparsed, ipv4, ipv6};

/// A family's packets.
pub trait Wire: Tables {
    /// `skb->protocol` of the family's packets, in network byte order.
    const ETHERTYPE: Be16;

    /// Reads the headers of a packet whose network header is at `l3`.
    fn parse(skb: &Skb, l3: usize, parsed: &mut Parsed<Self::Addr>) -> Result<(), Unparsed>;

    /// Writes the translation into the headers, all but the transport checksum.
    fn rewrite(
        skb: &Skb,
        parsed: &Parsed<Self::Addr>,
        to: &FlowValue<Self::Addr>,
        hop: bool,
    ) -> Option<TransportChange>;

    /// How a packet of this protocol and class of service leaves this node once it is translated.
    fn route(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Self::Addr>) -> Result<Route, Reason>;

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

    /// How the translated error leaves this node.
    fn route_error(
        ctx: &TcContext,
        report: &IcmpError<Self::Addr>,
        to: &FlowValue<Self::Addr>,
    ) -> Result<Route, Reason>;
}

impl Wire for V4 {
    /// `ETH_P_IP`.
    const ETHERTYPE: Be16 = Be16::new(0x0800);

    #[inline(always)]
    fn parse(skb: &Skb, l3: usize, parsed: &mut Parsed<Addr4>) -> Result<(), Unparsed> {
        ipv4::parse(skb, l3, parsed)
    }

    #[inline(always)]
    fn rewrite(skb: &Skb, parsed: &Parsed<Addr4>, to: &FlowValue<Addr4>, hop: bool) -> Option<TransportChange> {
        ipv4::rewrite(skb, parsed, to, hop)
    }

    #[inline(always)]
    fn route(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Addr4>) -> Result<Route, Reason> {
        route::lookup4(ctx, proto, class, to)
    }

    #[inline(always)]
    fn parse_error(skb: &Skb, l3: usize, report: &mut IcmpError<Addr4>) -> Result<(), Unparsed> {
        ipv4::parse_error(skb, l3, report)
    }

    #[inline(always)]
    fn rewrite_error(
        skb: &Skb,
        report: &IcmpError<Addr4>,
        src: Addr4,
        dst: Addr4,
        quoted: &FlowValue<Addr4>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv4::rewrite_error(skb, report, src, dst, quoted, hop)
    }

    #[inline(always)]
    fn route_error(ctx: &TcContext, report: &IcmpError<Addr4>, to: &FlowValue<Addr4>) -> Result<Route, Reason> {
        // The way of the flow itself: its ports keep multipath routes together.
        route::lookup4(ctx, report.answer.proto, report.class, to)
    }
}

impl Wire for V6 {
    /// `ETH_P_IPV6`.
    const ETHERTYPE: Be16 = Be16::new(0x86dd);

    #[inline(always)]
    fn parse(skb: &Skb, l3: usize, parsed: &mut Parsed<Addr6>) -> Result<(), Unparsed> {
        ipv6::parse(skb, l3, parsed)
    }

    #[inline(always)]
    fn rewrite(skb: &Skb, parsed: &Parsed<Addr6>, to: &FlowValue<Addr6>, hop: bool) -> Option<TransportChange> {
        ipv6::rewrite(skb, parsed, to, hop)
    }

    #[inline(always)]
    fn route(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Addr6>) -> Result<Route, Reason> {
        route::lookup6(ctx, proto, class, to)
    }

    #[inline(always)]
    fn parse_error(skb: &Skb, l3: usize, report: &mut IcmpError<Addr6>) -> Result<(), Unparsed> {
        ipv6::parse_error(skb, l3, report)
    }

    #[inline(always)]
    fn rewrite_error(
        skb: &Skb,
        report: &IcmpError<Addr6>,
        src: Addr6,
        dst: Addr6,
        quoted: &FlowValue<Addr6>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv6::rewrite_error(skb, report, src, dst, quoted, hop)
    }

    #[inline(always)]
    fn route_error(ctx: &TcContext, report: &IcmpError<Addr6>, to: &FlowValue<Addr6>) -> Result<Route, Reason> {
        // The way of the flow itself: its ports keep multipath routes together.
        route::lookup6(ctx, report.answer.proto, report.class, to)
    }
}
