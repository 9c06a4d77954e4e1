//! What differs between the address families' headers, wherever a packet is; everything else is shared.

use crate::{
    fib::{self, FibParams},
    service_counts::Counted,
};
use kpr_abi::{Addr4, Addr6, Be16, FlowKey, FlowValue, V4, V6};
use kpr_packet::{Destination, Packet, Parsed, TransportChange, Unparsed, ipv4, ipv6};

/// A family's headers.
pub trait Headers: Counted {
    /// The family's number in a link header, in network byte order.
    const ETHERTYPE: Be16;

    /// Reads the headers of a packet whose network header is at `l3`.
    fn parse<P: Packet>(packet: &P, l3: usize, parsed: &mut Parsed<Self::Addr>) -> Result<(), Unparsed>;

    /// Where a packet is for, if it is whole, of TCP or UDP, and its network header, at `l3`, is a plain one.
    fn destination<P: Packet>(packet: &P, l3: usize) -> Option<Destination<Self::Addr>>;

    /// Length of a packet whose network header is at `l3`, from that header on and as it has it; 0 where it does not tell.
    fn length<P: Packet>(packet: &P, l3: usize) -> Option<u16>;

    /// What stands in the checksum's place of a packet whose checksum is left to a network card. `length`: of what is behind the
    /// network header.
    fn pseudo_sum(key: &FlowKey<Self::Addr>, length: u16) -> u16;

    /// Writes the translation into the headers, all but the transport checksum. `None`: nothing was written.
    fn rewrite<P: Packet>(
        packet: &P,
        parsed: &Parsed<Self::Addr>,
        to: &FlowValue<Self::Addr>,
        hop: bool,
    ) -> Option<TransportChange>;

    /// The question how a packet of this protocol and class of service, which came in by this device, leaves once it is translated.
    fn way(ifindex: u32, proto: u8, class: u8, to: &FlowValue<Self::Addr>) -> FibParams;
}

impl Headers for V4 {
    /// `ETH_P_IP`.
    const ETHERTYPE: Be16 = Be16::new(0x0800);

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, l3: usize, parsed: &mut Parsed<Addr4>) -> Result<(), Unparsed> {
        ipv4::parse(packet, l3, parsed)
    }

    #[inline(always)]
    fn destination<P: Packet>(packet: &P, l3: usize) -> Option<Destination<Addr4>> {
        ipv4::destination(packet, l3)
    }

    #[inline(always)]
    fn length<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
        ipv4::length(packet, l3)
    }

    #[inline(always)]
    fn pseudo_sum(key: &FlowKey<Addr4>, length: u16) -> u16 {
        ipv4::pseudo_sum(key, length)
    }

    #[inline(always)]
    fn rewrite<P: Packet>(
        packet: &P,
        parsed: &Parsed<Addr4>,
        to: &FlowValue<Addr4>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv4::rewrite(packet, parsed, to, hop)
    }

    #[inline(always)]
    fn way(ifindex: u32, proto: u8, class: u8, to: &FlowValue<Addr4>) -> FibParams {
        fib::ask4(ifindex, proto, class, to)
    }
}

impl Headers for V6 {
    /// `ETH_P_IPV6`.
    const ETHERTYPE: Be16 = Be16::new(0x86dd);

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, l3: usize, parsed: &mut Parsed<Addr6>) -> Result<(), Unparsed> {
        ipv6::parse(packet, l3, parsed)
    }

    #[inline(always)]
    fn destination<P: Packet>(packet: &P, l3: usize) -> Option<Destination<Addr6>> {
        ipv6::destination(packet, l3)
    }

    #[inline(always)]
    fn length<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
        ipv6::length(packet, l3)
    }

    #[inline(always)]
    fn pseudo_sum(key: &FlowKey<Addr6>, length: u16) -> u16 {
        ipv6::pseudo_sum(key, length)
    }

    #[inline(always)]
    fn rewrite<P: Packet>(
        packet: &P,
        parsed: &Parsed<Addr6>,
        to: &FlowValue<Addr6>,
        hop: bool,
    ) -> Option<TransportChange> {
        ipv6::rewrite(packet, parsed, to, hop)
    }

    #[inline(always)]
    fn way(ifindex: u32, proto: u8, class: u8, to: &FlowValue<Addr6>) -> FibParams {
        fib::ask6(ifindex, proto, class, to)
    }
}
