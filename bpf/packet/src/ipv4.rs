//! IPv4 packets of TCP, UDP and SCTP.

use crate::{
    Destination, IcmpError, Packet, Parsed, Part, TransportChange, Unparsed, Window, checksum::Change, encap, transport,
};
use kpr_abi::{Addr4, Be16, FlowKey, FlowValue};

/// Length of an IPv4 header without options.
pub const HEADER: usize = 20;
const ICMP: u8 = 1;
const ICMP_HEADER: usize = 8;

/// "More fragments" and the fragment offset (RFC 791 §3.1), in the machine's order.
pub(crate) const FRAGMENT: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// The IPv4 header at `l3`, and where the transport header behind it is.
#[inline(always)]
fn header<P: Packet>(packet: &P, l3: usize) -> Result<(Window<HEADER>, usize), Unparsed> {
    let ip: Window<HEADER> = packet.window(l3).ok_or(Unparsed::Malformed)?;
    let version_and_length = ip.u8::<0>();
    let length = usize::from(version_and_length & 0x0f) * 4;
    if version_and_length >> 4 != 4 || length < HEADER {
        return Err(Unparsed::Malformed);
    }
    Ok((ip, l3 + length))
}

/// Reads the headers of the packet whose IPv4 header is at `l3`.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, l3: usize, parsed: &mut Parsed<Addr4>) -> Result<(), Unparsed> {
    let (ip, l4) = header(packet, l3)?;
    let protocol = ip.u8::<9>();
    if protocol == ICMP {
        return Err(Unparsed::Icmp);
    }
    if !transport::is_known(protocol) {
        return Err(if protocol == encap::IPV4 {
            Unparsed::Encapsulated
        } else {
            Unparsed::OtherProtocol
        });
    }
    let fragment = u16::from_be(ip.u16::<6>());
    parsed.key.src = Addr4(ip.u32::<12>());
    parsed.key.dst = Addr4(ip.u32::<16>());
    parsed.key.proto = protocol;
    parsed.l3 = l3;
    parsed.l4 = l4;
    parsed.hops = ip.u8::<8>();
    parsed.class = ip.u8::<1>();
    parsed.id = u32::from(ip.u16::<4>());
    if fragment & FRAGMENT_OFFSET != 0 {
        parsed.part = Part::Later;
    } else if fragment & FRAGMENT != 0 {
        parsed.part = Part::First;
    }
    transport::read(packet, parsed)
}

/// Whether an IPv4 header without options, which most packets have, is at `l3`.
#[inline(always)]
pub fn is_plain<P: Packet>(packet: &P, l3: usize) -> bool {
    packet.window::<HEADER>(l3).is_some_and(|ip| ip.u8::<0>() == 0x45)
}

/// Where the packet is for whose IPv4 header is at `l3`, if that header is plain and the packet is whole, and of TCP or UDP.
#[inline(always)]
pub fn destination<P: Packet>(packet: &P, l3: usize) -> Option<Destination<Addr4>> {
    // As far as the ports.
    const HEAD: usize = HEADER + 4;
    let head: Window<HEAD> = packet.window(l3)?;
    let proto = head.u8::<9>();
    let is_whole = head.u16::<6>() & FRAGMENT.to_be() == 0;
    if head.u8::<0>() != 0x45 || !is_whole || !transport::has_sum(proto) {
        return None;
    }
    Some(Destination {
        addr: Addr4(head.u32::<16>()),
        port: Be16(head.u16::<22>()),
        proto,
        l4: l3 + HEADER,
    })
}

/// Length of the packet whose IPv4 header is at `l3`, as the header has it.
#[inline(always)]
pub fn length<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
    Some(u16::from_be(packet.window::<HEADER>(l3)?.u16::<2>()))
}

/// The sum over the pseudo header (RFC 9293 §3.1) of a packet with so many bytes behind its IPv4 header. A packet whose checksum is left to
/// a network card (the kernel's `CHECKSUM_PARTIAL`) has it in the checksum's place.
#[inline(always)]
pub fn pseudo_sum(key: &FlowKey<Addr4>, length: u16) -> u16 {
    let addresses = Change::NONE.more(key.src.0).more(key.dst.0);
    transport::pseudo_sum(addresses, key.proto, length)
}

/// Writes a flow's new addresses and ports into the packet, with `hop` also one less time to live, and fixes the IPv4 header's
/// checksum. The transport checksum is the caller's, because who computes it (this code, the kernel or the network card)
/// depends on where the packet is. `None`: the packet is shorter than when it was parsed, and was not changed.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &P,
    parsed: &Parsed<Addr4>,
    to: &FlowValue<Addr4>,
    hop: bool,
) -> Option<TransportChange> {
    let ip: Window<HEADER> = packet.window(parsed.l3)?;
    transport::write_ports(packet, parsed, to)?;
    let pseudo = Change::NONE
        .word(parsed.key.src.0, to.src.0)
        .word(parsed.key.dst.0, to.dst.0);
    let mut header = pseudo;
    if hop {
        let old = ip.u16::<8>();
        ip.set_u8::<8>(parsed.hops.wrapping_sub(1));
        header = header.half(old, ip.u16::<8>());
    }
    ip.set_u32::<12>(to.src.0);
    ip.set_u32::<16>(to.dst.0);
    ip.set_u16::<10>(header.apply(ip.u16::<10>()));
    Some(TransportChange {
        pseudo,
        ports: transport::ports_change(&parsed.key, to),
    })
}

/// Reads an ICMP error (RFC 792: destination unreachable, source quench, time exceeded, parameter problem) whose IPv4 header is
/// at `l3`.
#[inline(always)]
pub fn parse_error<P: Packet>(packet: &P, l3: usize, report: &mut IcmpError<Addr4>) -> Result<(), Unparsed> {
    let (outer, icmp) = header(packet, l3)?;
    if outer.u8::<9>() != ICMP || u16::from_be(outer.u16::<6>()) & FRAGMENT_OFFSET != 0 {
        return Err(Unparsed::OtherProtocol);
    }
    let kind = packet.window::<ICMP_HEADER>(icmp).ok_or(Unparsed::Malformed)?.u8::<0>();
    if !matches!(kind, 3 | 4 | 11 | 12) {
        return Err(Unparsed::OtherProtocol);
    }
    let inner_l3 = icmp + ICMP_HEADER;
    let (inner, inner_l4) = header(packet, inner_l3)?;
    let protocol = inner.u8::<9>();
    if !transport::is_known(protocol) {
        return Err(Unparsed::OtherProtocol);
    }
    if u16::from_be(inner.u16::<6>()) & FRAGMENT_OFFSET != 0 {
        return Err(Unparsed::OtherProtocol);
    }
    // At least the ports are there: RFC 792 asks for the first 64 bits behind the header.
    let (sport, dport) = transport::ports(packet, inner_l4)?;
    report.src = Addr4(outer.u32::<12>());
    report.dst = Addr4(outer.u32::<16>());
    report.l3 = l3;
    report.icmp = icmp;
    report.inner_l3 = inner_l3;
    report.inner_l4 = inner_l4;
    report.hops = outer.u8::<8>();
    report.class = outer.u8::<1>();
    report.answer.src = Addr4(inner.u32::<16>());
    report.answer.dst = Addr4(inner.u32::<12>());
    report.answer.sport = dport;
    report.answer.dport = sport;
    report.answer.proto = protocol;
    Ok(())
}

/// Translates an ICMP error: the outer addresses become `src` and `dst`, the quoted packet becomes the one that `quoted`
/// answers. With `hop` also one less time to live. Returns the change of the ICMP checksum. The transport checksum inside the
/// quotation is left: receivers know the flow by its ports.
#[inline(always)]
pub fn rewrite_error<P: Packet>(
    packet: &P,
    parsed: &IcmpError<Addr4>,
    src: Addr4,
    dst: Addr4,
    quoted: &FlowValue<Addr4>,
    hop: bool,
) -> Option<TransportChange> {
    let outer: Window<HEADER> = packet.window(parsed.l3)?;
    let inner: Window<HEADER> = packet.window(parsed.inner_l3)?;
    transport::write_quoted_ports(packet, parsed, quoted)?;
    let was = &parsed.answer;
    // `quoted` is a translation of the answer: in the quotation source and destination change places.
    let addresses = Change::NONE.word(was.dst.0, quoted.dst.0).word(was.src.0, quoted.src.0);
    inner.set_u32::<12>(quoted.dst.0);
    inner.set_u32::<16>(quoted.src.0);
    inner.set_u16::<10>(addresses.apply(inner.u16::<10>()));
    let mut header = Change::NONE.word(parsed.src.0, src.0).word(parsed.dst.0, dst.0);
    if hop {
        let old = outer.u16::<8>();
        outer.set_u8::<8>(parsed.hops.wrapping_sub(1));
        header = header.half(old, outer.u16::<8>());
    }
    outer.set_u32::<12>(src.0);
    outer.set_u32::<16>(dst.0);
    outer.set_u16::<10>(header.apply(outer.u16::<10>()));
    // The quoted header sums up to the same as before, its checksum sees to that: only the ports count.
    Some(TransportChange {
        pseudo: Change::NONE,
        ports: transport::quoted_ports_change(Change::NONE, was, quoted),
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{
        buffer::{Buffer, sum},
        signal,
    };
    use kpr_abi::Be16;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    fn parsed(packet: &Buffer, l3: usize) -> Result<Parsed<Addr4>, Unparsed> {
        let mut parsed = Parsed::default();
        parse(packet, l3, &mut parsed).map(|()| parsed)
    }

    /// A packet with a header of `words` 32-bit words and a right header checksum.
    fn packet(words: u8, protocol: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0_u8; usize::from(words) * 4];
        bytes[0] = 0x40 | words;
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes[8] = 64;
        bytes[9] = protocol;
        bytes[12..20].copy_from_slice(&[192, 168, 49, 100, 192, 168, 49, 2]);
        let check = !sum(&bytes);
        bytes[10..12].copy_from_slice(&check.to_ne_bytes());
        bytes.extend(rest);
        bytes
    }

    fn tcp_head(flags: u8) -> Vec<u8> {
        let mut head = vec![0_u8; 20];
        head[0..4].copy_from_slice(&[0x9c, 0x40, 0x7b, 0xc3]);
        head[13] = flags;
        head
    }

    #[test]
    fn what_has_no_ports_says_why() {
        let udp = [0_u8; 8];
        for (name, bytes, why) in [
            ("empty", vec![], Unparsed::Malformed),
            (
                "cut in the IPv4 header",
                packet(5, 6, 0, &[])[..19].to_vec(),
                Unparsed::Malformed,
            ),
            ("cut in the ports", packet(5, 17, 0, &udp[..7]), Unparsed::Malformed),
            (
                "cut before the TCP flags",
                packet(5, 6, 0, &tcp_head(2)[..13]),
                Unparsed::Malformed,
            ),
            (
                "a header length of 16",
                {
                    let mut p = packet(5, 6, 0, &tcp_head(2));
                    p[0] = 0x44;
                    p
                },
                Unparsed::Malformed,
            ),
            (
                "version 6",
                {
                    let mut p = packet(5, 6, 0, &tcp_head(2));
                    p[0] = 0x65;
                    p
                },
                Unparsed::Malformed,
            ),
            ("ICMP", packet(5, 1, 0, &udp), Unparsed::Icmp),
            (
                "cut before SCTP's first chunk",
                packet(5, 132, 0, &[0; 12]),
                Unparsed::Malformed,
            ),
            ("DCCP", packet(5, 33, 0, &udp), Unparsed::OtherProtocol),
        ] {
            assert_eq!(parsed(&Buffer::new(bytes), 0).map(|p| p.key), Err(why), "{name}");
        }
    }

    #[test]
    fn ports_and_flags_are_found_behind_options() {
        for words in 5..=15 {
            let parsed = parsed(&Buffer::new(packet(words, 6, 0x4000, &tcp_head(0x02))), 0).unwrap();
            assert_eq!((parsed.key.sport.host(), parsed.key.dport.host()), (40_000, 31_683));
            assert_eq!(
                (parsed.signals, parsed.part, parsed.l4),
                (signal::OPENS, Part::Whole, usize::from(words) * 4)
            );
        }
    }

    #[test]
    fn what_a_packet_tells_of_its_flow_depends_on_its_transport() {
        let sctp_head = |chunk: u8| [vec![0; 12], vec![chunk, 0, 0, 4]].concat();
        for (name, protocol, head, told) in [
            ("a SYN", 6, tcp_head(0x02), signal::OPENS),
            ("its answer", 6, tcp_head(0x12), signal::ACCEPTS),
            ("an ACK", 6, tcp_head(0x10), 0),
            ("a FIN", 6, tcp_head(0x11), signal::CLOSES),
            ("an RST", 6, tcp_head(0x14), signal::ENDS),
            ("a SYN with nonsense", 6, tcp_head(0x07), signal::CLOSES | signal::ENDS),
            ("a datagram", 17, vec![0; 8], signal::OPENS),
            ("an INIT", 132, sctp_head(1), signal::OPENS),
            ("DATA", 132, sctp_head(0), 0),
            ("an ABORT", 132, sctp_head(6), signal::ENDS),
        ] {
            let parsed = parsed(&Buffer::new(packet(5, protocol, 0, &head)), 0).unwrap();
            assert_eq!(parsed.signals, told, "{name}");
        }
        for (protocol, told) in [(6, 0), (17, signal::OPENS), (132, 0)] {
            let later = parsed(&Buffer::new(packet(5, protocol, 0x00b9, &[1; 16])), 0).unwrap();
            assert_eq!(later.signals, told, "a later fragment, protocol {protocol}");
        }
    }

    #[test]
    fn the_parts_of_a_packet_are_told_apart() {
        for (fragment, part, port) in [
            (0x0000, Part::Whole, 31_683),
            (0x4000, Part::Whole, 31_683),
            (0x2000, Part::First, 31_683),
            (0x20b9, Part::Later, 0),
            (0x00b9, Part::Later, 0),
        ] {
            let parsed = parsed(&Buffer::new(packet(5, 17, fragment, &tcp_head(0))), 0).unwrap();
            assert_eq!((parsed.part, parsed.key.dport.host()), (part, port), "{fragment:#06x}");
        }
    }

    #[test]
    fn a_destination_is_that_of_a_whole_packet_without_options_and_what_the_parser_reads() {
        for protocol in [6, 17, 132, 1, 47] {
            for words in [5, 6] {
                for fragment in [0, 0x4000, 0x2000, 0x00b9] {
                    let packet = Buffer::new(packet(words, protocol, fragment, &tcp_head(0)));
                    let is_plain = words == 5 && fragment & FRAGMENT == 0 && matches!(protocol, 6 | 17);
                    let expected = is_plain
                        .then(|| parsed(&packet, 0).unwrap().key)
                        .map(|key| Destination {
                            addr: key.dst,
                            port: key.dport,
                            proto: key.proto,
                            l4: HEADER,
                        });
                    assert_eq!(
                        destination(&packet, 0),
                        expected,
                        "{protocol}, {words} words, {fragment:#x}"
                    );
                }
            }
        }
        let cut = Buffer::new(packet(5, 6, 0, &[0x9c, 0x40, 0x7b]));
        assert_eq!(destination(&cut, 0), None);
    }

    #[test]
    fn the_pseudo_headers_sum_is_that_of_its_words() {
        let key = parsed(
            &Buffer::new(packet(5, 17, 0, &[0x9c, 0x40, 0x7b, 0xc3, 0, 13, 0, 0])),
            0,
        )
        .unwrap()
        .key;
        let words = [192, 168, 49, 100, 192, 168, 49, 2, 0, 17, 0, 13];
        assert_eq!(pseudo_sum(&key, 13), sum(&words));
    }

    proptest! {
        #[test]
        fn any_bytes_at_any_offset_are_parsed_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..128), l3 in 0_usize..140,
        ) {
            let length = bytes.len();
            if let Ok(parsed) = parsed(&Buffer::new(bytes), l3) {
                prop_assert!(parsed.l4 >= l3 + HEADER);
                prop_assert!(matches!(parsed.part, Part::Later) || parsed.l4 + 8 <= length);
            }
        }

        #[test]
        fn a_rewritten_header_verifies_and_holds_the_translation(
            src in any::<u32>(), dst in any::<u32>(), sport in any::<u16>(), dport in any::<u16>(),
            words in 5_u8..=15, hop in any::<bool>(),
        ) {
            let mut buffer = Buffer::new(packet(words, 6, 0x4000, &tcp_head(0x10)));
            let before = parsed(&buffer, 0).unwrap();
            let to = FlowValue { src: Addr4(src), dst: Addr4(dst), sport: Be16(sport), dport: Be16(dport), ..FlowValue::default() };
            rewrite(&buffer, &before, &to, hop).unwrap();
            let after = parsed(&buffer, 0).unwrap();
            prop_assert_eq!((after.key.src, after.key.dst, after.key.sport, after.key.dport), (to.src, to.dst, to.sport, to.dport));
            prop_assert_eq!(after.hops, if hop { 63 } else { 64 });
            prop_assert_eq!(sum(&buffer.bytes()[..usize::from(words) * 4]), 0xffff, "header checksum");
        }
    }
}
