//! TCP, UDP and SCTP headers: the same behind either network header. All three begin with the ports.

use crate::{IcmpError, Packet, Parsed, Part, Unparsed, Window, checksum::Change, sctp, signal, tcp};
use kpr_abi::{Be16, FlowKey, FlowValue, proto};

/// Bytes of the transport header that are read in any case; RFC 792 and RFC 4443 promise them in quotations too.
const PORTS: usize = 8;
/// As far as TCP's flags (RFC 9293 §3.1).
const TCP_HEAD: usize = 14;

/// Whether Services have the protocol.
#[inline(always)]
pub(crate) fn is_known(protocol: u8) -> bool {
    protocol == proto::TCP || protocol == proto::UDP || protocol == proto::SCTP
}

/// Whether the protocol's checksum is the Internet's, which changes with addresses and ports.
#[inline(always)]
pub(crate) fn has_sum(protocol: u8) -> bool {
    protocol == proto::TCP || protocol == proto::UDP
}

/// Source and destination port of the transport header at `l4`.
#[inline(always)]
pub(crate) fn ports<P: Packet>(packet: &P, l4: usize) -> Result<(Be16, Be16), Unparsed> {
    let ports: Window<PORTS> = packet.window(l4).ok_or(Unparsed::Malformed)?;
    Ok((Be16(ports.u16::<0>()), Be16(ports.u16::<2>())))
}

/// Reads ports and signals, where this part of the packet has them.
#[inline(always)]
pub(crate) fn read<P: Packet, A>(packet: &P, parsed: &mut Parsed<A>) -> Result<(), Unparsed> {
    if parsed.key.proto == proto::UDP {
        parsed.signals = signal::OPENS;
    }
    if parsed.part == Part::Later {
        return Ok(());
    }
    let (sport, dport) = ports(packet, parsed.l4)?;
    parsed.key.sport = sport;
    parsed.key.dport = dport;
    if parsed.key.proto == proto::TCP {
        parsed.signals = tcp_signals_at(packet, parsed.l4).ok_or(Unparsed::Malformed)?;
    } else if parsed.key.proto == proto::SCTP {
        let head: Window<{ sctp::HEAD }> = packet.window(parsed.l4).ok_or(Unparsed::Malformed)?;
        parsed.signals = sctp::signals(head.u8::<12>());
    }
    Ok(())
}

/// What the flags of the TCP header at `l4` tell.
#[inline(always)]
pub(crate) fn tcp_signals_at<P: Packet>(packet: &P, l4: usize) -> Option<u8> {
    let head: Window<TCP_HEAD> = packet.window(l4)?;
    Some(tcp_signals(head.u8::<13>()))
}

/// What TCP's flags tell.
#[inline(always)]
fn tcp_signals(flags: u8) -> u8 {
    let mut signals = 0;
    let first = flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN);
    if first == tcp::SYN {
        signals |= signal::OPENS;
    }
    if first == tcp::SYN | tcp::ACK {
        signals |= signal::ACCEPTS;
    }
    if flags & tcp::FIN != 0 {
        signals |= signal::CLOSES;
    }
    if flags & tcp::RST != 0 {
        signals |= signal::ENDS;
    }
    signals
}

/// Writes the translation's ports, where this part of the packet has some.
#[inline(always)]
pub(crate) fn write_ports<P: Packet, A>(packet: &P, parsed: &Parsed<A>, to: &FlowValue<A>) -> Option<()> {
    if parsed.part != Part::Later {
        let ports: Window<PORTS> = packet.window(parsed.l4)?;
        ports.set_u16::<0>(to.sport.0);
        ports.set_u16::<2>(to.dport.0);
    }
    Some(())
}

/// The sum over a pseudo header of these addresses.
#[inline(always)]
pub(crate) fn pseudo_sum(addresses: Change, protocol: u8, length: u16) -> u16 {
    let rest = Change::NONE
        .more(u32::from(u16::from(protocol).to_be()))
        .more(u32::from(length.to_be()));
    !addresses.and(rest).apply(!0)
}

/// How ports changed from a packet to its translation.
#[inline(always)]
pub(crate) fn ports_change<A>(was: &FlowKey<A>, to: &FlowValue<A>) -> Change {
    Change::NONE.half(was.sport.0, to.sport.0).half(was.dport.0, to.dport.0)
}

/// Writes ports into the packet that an error quotes. `quoted` is the translation of its answer: source and destination change
/// places.
#[inline(always)]
pub(crate) fn write_quoted_ports<P: Packet, A>(packet: &P, parsed: &IcmpError<A>, quoted: &FlowValue<A>) -> Option<()> {
    let ports: Window<PORTS> = packet.window(parsed.inner_l4)?;
    ports.set_u16::<0>(quoted.dport.0);
    ports.set_u16::<2>(quoted.sport.0);
    Some(())
}

/// How the quotation's ports change, on top of `change`.
#[inline(always)]
pub(crate) fn quoted_ports_change<A>(change: Change, was: &FlowKey<A>, quoted: &FlowValue<A>) -> Change {
    change
        .half(was.dport.0, quoted.dport.0)
        .half(was.sport.0, quoted.sport.0)
}
