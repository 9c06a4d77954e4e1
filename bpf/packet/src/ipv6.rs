//! IPv6 packets of TCP, UDP and SCTP (RFC 8200), and ICMPv6 errors about them (RFC 4443).

use crate::{
    Destination, IcmpError, Packet, Parsed, Part, TransportChange, Unparsed, Window, checksum::Change, encap, transport,
};
use kpr_abi::{Addr6, Be16, FlowKey, FlowValue};

/// Length of the fixed header.
pub const HEADER: usize = 40;

/// Extension headers that are passed before the transport header; RFC 8200 §4.1 lists seven, of which a packet for a service
/// has one or two.
const EXTENSIONS: u8 = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMP: u8 = 58;
const DESTINATION: u8 = 60;

const ICMP_HEADER: usize = 8;

/// Longest chain of headers that is looked through; what is longer is the stack's.
const LONGEST: usize = 512;

/// Where the extension headers end, in one word, so that a function of its own can return it: the verifier then looks through
/// the loop once, and not once for every way through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(pub u64);

impl Chain {
    /// No transport header was found.
    pub const MALFORMED: Self = Self(0);

    #[inline(always)]
    const fn new(protocol: u8, l4: usize, part: Part, id: u32) -> Self {
        Self(l4 as u64 & 0xffff | (protocol as u64) << 16 | (part as u64) << 24 | (id as u64) << 32)
    }

    /// Protocol of what follows.
    #[inline(always)]
    const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Offset of what follows.
    #[inline(always)]
    const fn l4(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// Which part of a packet this is, as its fragment header says.
    #[inline(always)]
    const fn part(self) -> Part {
        match (self.0 >> 24) as u8 {
            0 => Part::Whole,
            1 => Part::First,
            _ => Part::Later,
        }
    }

    /// Identification of a fragmented packet, else 0.
    #[inline(always)]
    const fn id(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The first eight bytes of an extension header; none is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Protocol of the header behind this one.
    pub next: u8,
    /// Its length, in units that depend on its kind.
    pub units: u8,
    /// Of a fragment header: offset and flags, network byte order.
    pub offset: Be16,
    /// Of a fragment header: identification, as it stands in the packet.
    pub id: u32,
}

/// The fixed header at `l3`.
#[inline(always)]
fn header<P: Packet>(packet: &P, l3: usize) -> Result<Window<HEADER>, Unparsed> {
    let ip: Window<HEADER> = packet.window(l3).ok_or(Unparsed::Malformed)?;
    if ip.u8::<0>() >> 4 == 6 {
        Ok(ip)
    } else {
        Err(Unparsed::Malformed)
    }
}

/// Walks over extension headers from the one of kind `first` at `start` to the transport header; `read` reads one.
#[inline(always)]
pub fn walk(first: u8, start: usize, mut read: impl FnMut(usize) -> Option<Extension>) -> Chain {
    let (mut kind, mut l4, mut part, mut id) = (first, start, Part::Whole, 0);
    let mut passed = 0;
    while passed < EXTENSIONS {
        if kind != HOP_BY_HOP && kind != ROUTING && kind != FRAGMENT && kind != AUTHENTICATION && kind != DESTINATION {
            return Chain::new(kind, l4, part, id);
        }
        let Some(extension) = read(l4) else {
            return Chain::MALFORMED;
        };
        if kind == FRAGMENT {
            let offset = extension.offset.host();
            l4 += 8;
            id = extension.id;
            if offset & 0xfff8 != 0 {
                return Chain::new(extension.next, l4, Part::Later, id);
            }
            if offset & 1 != 0 {
                part = Part::First;
            }
        } else {
            // Authentication counts words of four bytes less two (RFC 4302 §2.2), the others words of eight less one.
            let units = usize::from(extension.units);
            l4 += if kind == AUTHENTICATION {
                (units + 2) * 4
            } else {
                (units + 1) * 8
            };
        }
        kind = extension.next;
        passed += 1;
    }
    Chain::MALFORMED
}

/// Walks over a packet's extension headers through windows.
#[inline(always)]
pub fn walk_windows<P: Packet>(packet: &P, first: u8, start: usize) -> Chain {
    walk(first, start, |offset| {
        let extension: Window<8> = packet.window(offset)?;
        Some(Extension {
            next: extension.u8::<0>(),
            units: extension.u8::<1>(),
            offset: Be16(extension.u16::<2>()),
            id: extension.u32::<4>(),
        })
    })
}

#[inline(always)]
pub(crate) fn src(ip: Window<HEADER>) -> Addr6 {
    Addr6([ip.u32::<8>(), ip.u32::<12>(), ip.u32::<16>(), ip.u32::<20>()])
}

#[inline(always)]
pub(crate) fn dst(ip: Window<HEADER>) -> Addr6 {
    Addr6([ip.u32::<24>(), ip.u32::<28>(), ip.u32::<32>(), ip.u32::<36>()])
}

#[inline(always)]
pub(crate) fn set_src(ip: Window<HEADER>, Addr6([a, b, c, d]): Addr6) {
    ip.set_u32::<8>(a);
    ip.set_u32::<12>(b);
    ip.set_u32::<16>(c);
    ip.set_u32::<20>(d);
}

#[inline(always)]
pub(crate) fn set_dst(ip: Window<HEADER>, Addr6([a, b, c, d]): Addr6) {
    ip.set_u32::<24>(a);
    ip.set_u32::<28>(b);
    ip.set_u32::<32>(c);
    ip.set_u32::<36>(d);
}

#[inline(always)]
fn address(change: Change, Addr6(old): Addr6, Addr6(new): Addr6) -> Change {
    change
        .word(old[0], new[0])
        .word(old[1], new[1])
        .word(old[2], new[2])
        .word(old[3], new[3])
}

/// Traffic class: the eight bits behind the version.
#[inline(always)]
fn class(ip: Window<HEADER>) -> u8 {
    (ip.u8::<0>() << 4) | (ip.u8::<1>() >> 4)
}

/// Reads the headers of the packet whose IPv6 header is at `l3`.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, l3: usize, parsed: &mut Parsed<Addr6>) -> Result<(), Unparsed> {
    let ip = header(packet, l3)?;
    parsed.key.src = src(ip);
    parsed.key.dst = dst(ip);
    parsed.l3 = l3;
    parsed.hops = ip.u8::<7>();
    parsed.class = class(ip);
    let first = ip.u8::<6>();
    parsed.key.proto = first;
    parsed.l4 = l3 + HEADER;
    if first != ICMP && !transport::is_known(first) {
        let chain = packet.walk6(first, l3 + HEADER);
        if chain.l4() < HEADER || chain.l4() > LONGEST {
            return Err(Unparsed::Malformed);
        }
        parsed.key.proto = chain.protocol();
        parsed.l4 = chain.l4();
        parsed.part = chain.part();
        parsed.id = chain.id();
    }
    if parsed.key.proto == ICMP {
        return Err(Unparsed::Icmp);
    }
    if !transport::is_known(parsed.key.proto) {
        return Err(if first == encap::IPV6 {
            Unparsed::Encapsulated
        } else {
            Unparsed::OtherProtocol
        });
    }
    transport::read(packet, parsed)
}

/// As [`crate::ipv4::destination`]: of a packet without extension headers.
#[inline(always)]
pub fn destination<P: Packet>(packet: &P, l3: usize) -> Option<Destination<Addr6>> {
    // As far as the ports.
    const HEAD: usize = HEADER + 4;
    let head: Window<HEAD> = packet.window(l3)?;
    let proto = head.u8::<6>();
    if head.u8::<0>() >> 4 != 6 || !transport::has_sum(proto) {
        return None;
    }
    Some(Destination {
        addr: Addr6([head.u32::<24>(), head.u32::<28>(), head.u32::<32>(), head.u32::<36>()]),
        port: Be16(head.u16::<42>()),
        proto,
        l4: l3 + HEADER,
    })
}

/// Length of the packet whose IPv6 header is at `l3`, as the header has it. 0 for a jumbogram.
#[inline(always)]
pub fn length<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
    let payload = u16::from_be(packet.window::<HEADER>(l3)?.u16::<4>());
    Some(payload.checked_add(HEADER as u16).unwrap_or(0))
}

/// As [`crate::ipv4::pseudo_sum`] (RFC 8200 §8.1).
#[inline(always)]
pub fn pseudo_sum(key: &FlowKey<Addr6>, length: u16) -> u16 {
    let words = |Addr6([a, b, c, d])| Change::NONE.more(a).more(b).more(c).more(d);
    transport::pseudo_sum(words(key.src).and(words(key.dst)), key.proto, length)
}

/// Writes a flow's new addresses and ports into the packet, with `hop` also one less hop. As [`crate::ipv4::rewrite`]; IPv6
/// has no header checksum.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &P,
    parsed: &Parsed<Addr6>,
    to: &FlowValue<Addr6>,
    hop: bool,
) -> Option<TransportChange> {
    let ip: Window<HEADER> = packet.window(parsed.l3)?;
    transport::write_ports(packet, parsed, to)?;
    if hop {
        ip.set_u8::<7>(parsed.hops.wrapping_sub(1));
    }
    set_src(ip, to.src);
    set_dst(ip, to.dst);
    let pseudo = address(address(Change::NONE, parsed.key.src, to.src), parsed.key.dst, to.dst);
    Some(TransportChange {
        pseudo,
        ports: transport::ports_change(&parsed.key, to),
    })
}

/// Reads an ICMPv6 error (RFC 4443 §3: destination unreachable, packet too big, time exceeded, parameter problem) whose IPv6
/// header is at `l3`.
#[inline(always)]
pub fn parse_error<P: Packet>(packet: &P, l3: usize, report: &mut IcmpError<Addr6>) -> Result<(), Unparsed> {
    let outer = header(packet, l3)?;
    // Errors of routers have no extension headers; what has some goes to the stack.
    if outer.u8::<6>() != ICMP {
        return Err(Unparsed::OtherProtocol);
    }
    let icmp = l3 + HEADER;
    let kind = packet.window::<ICMP_HEADER>(icmp).ok_or(Unparsed::Malformed)?.u8::<0>();
    if kind == 0 || kind > 4 {
        return Err(Unparsed::OtherProtocol);
    }
    let inner_l3 = icmp + ICMP_HEADER;
    let inner = header(packet, inner_l3)?;
    let protocol = inner.u8::<6>();
    if !transport::is_known(protocol) {
        return Err(Unparsed::OtherProtocol);
    }
    let inner_l4 = inner_l3 + HEADER;
    let (sport, dport) = transport::ports(packet, inner_l4)?;
    report.src = src(outer);
    report.dst = dst(outer);
    report.l3 = l3;
    report.icmp = icmp;
    report.inner_l3 = inner_l3;
    report.inner_l4 = inner_l4;
    report.hops = outer.u8::<7>();
    report.class = class(outer);
    report.answer.src = dst(inner);
    report.answer.dst = src(inner);
    report.answer.sport = dport;
    report.answer.dport = sport;
    report.answer.proto = protocol;
    Ok(())
}

/// As [`crate::ipv4::rewrite_error`]. The ICMPv6 checksum covers the outer addresses (its pseudo header), the quoted ones and
/// the quoted ports.
#[inline(always)]
pub fn rewrite_error<P: Packet>(
    packet: &P,
    parsed: &IcmpError<Addr6>,
    src: Addr6,
    dst: Addr6,
    quoted: &FlowValue<Addr6>,
    hop: bool,
) -> Option<TransportChange> {
    let outer: Window<HEADER> = packet.window(parsed.l3)?;
    let inner: Window<HEADER> = packet.window(parsed.inner_l3)?;
    transport::write_quoted_ports(packet, parsed, quoted)?;
    set_src(inner, quoted.dst);
    set_dst(inner, quoted.src);
    if hop {
        outer.set_u8::<7>(parsed.hops.wrapping_sub(1));
    }
    set_src(outer, src);
    set_dst(outer, dst);
    let was = &parsed.answer;
    let quotation = address(address(Change::NONE, was.dst, quoted.dst), was.src, quoted.src);
    Some(TransportChange {
        pseudo: address(address(Change::NONE, parsed.src, src), parsed.dst, dst),
        ports: transport::quoted_ports_change(quotation, was, quoted),
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
    use kpr_abi::proto;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    fn parsed(packet: &Buffer) -> Result<Parsed<Addr6>, Unparsed> {
        let mut parsed = Parsed::default();
        parse(packet, 0, &mut parsed).map(|()| parsed)
    }

    /// A packet of these extension headers, each given with the type of the next one already in it.
    fn packet(first: u8, extensions: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x6a, 0xb0, 0, 0, 0, 0, first, 64];
        bytes.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        bytes.extend(extensions);
        bytes.extend(rest);
        bytes
    }

    const HEAD: [u8; 20] = [
        0x9c, 0x40, 0x7b, 0xc3, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x14, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn the_transport_header_is_found_behind_extension_headers() {
        let hop_by_hop = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
        let destination = |next: u8| [vec![next, 1], vec![0; 14]].concat();
        let authentication = |next: u8| [vec![next, 4], vec![0; 22]].concat();
        let fragment =
            |next: u8, offset: u16| [vec![next, 0], offset.to_be_bytes().to_vec(), vec![0, 0, 0, 9]].concat();
        let id = u32::from_ne_bytes([0, 0, 0, 9]);
        for (name, first, extensions, l4, part) in [
            ("none", 6, vec![], 40, Part::Whole),
            ("hop by hop", 0, hop_by_hop(6), 48, Part::Whole),
            ("two", 0, [hop_by_hop(60), destination(6)].concat(), 64, Part::Whole),
            ("authentication", 51, authentication(6), 64, Part::Whole),
            ("the first fragment", 44, fragment(6, 1), 48, Part::First),
            ("an atomic fragment", 44, fragment(6, 0), 48, Part::Whole),
        ] {
            let parsed = parsed(&Buffer::new(packet(first, &extensions, &HEAD))).unwrap();
            assert_eq!((parsed.l4, parsed.part), (l4, part), "{name}");
            assert_eq!(parsed.id, if first == 44 { id } else { 0 }, "{name}");
            assert_eq!(
                (parsed.key.sport.host(), parsed.key.dport.host(), parsed.signals),
                (40_000, 31_683, signal::ENDS),
                "{name}"
            );
            assert_eq!((parsed.class, parsed.hops), (0xab, 64), "{name}");
        }
        let later = parsed(&Buffer::new(packet(44, &fragment(17, 0x00b9), &HEAD))).unwrap();
        assert_eq!(
            (later.part, later.key.dport, later.key.proto),
            (Part::Later, Be16(0), proto::UDP)
        );
    }

    #[test]
    fn what_has_no_ports_says_why() {
        let endless = [0, 0, 0, 0, 0, 0, 0, 0].repeat(8);
        for (name, bytes, why) in [
            ("empty", vec![], Unparsed::Malformed),
            (
                "cut in the header",
                packet(6, &[], &[])[..39].to_vec(),
                Unparsed::Malformed,
            ),
            (
                "version 4",
                {
                    let mut p = packet(6, &[], &HEAD);
                    p[0] = 0x4a;
                    p
                },
                Unparsed::Malformed,
            ),
            ("cut in an extension", packet(0, &[6, 0, 0], &[]), Unparsed::Malformed),
            (
                "an extension longer than the packet",
                packet(0, &[6, 9, 0, 0, 0, 0, 0, 0], &HEAD),
                Unparsed::Malformed,
            ),
            (
                "more extensions than anyone needs",
                packet(0, &endless, &HEAD),
                Unparsed::Malformed,
            ),
            ("ICMPv6", packet(58, &[], &HEAD), Unparsed::Icmp),
            ("no next header", packet(59, &[], &HEAD), Unparsed::OtherProtocol),
        ] {
            assert_eq!(parsed(&Buffer::new(bytes)).map(|p| p.key), Err(why), "{name}");
        }
    }

    #[test]
    fn a_destination_is_that_of_a_packet_without_extension_headers_and_what_the_parser_reads() {
        let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0];
        for (first, extensions, is_plain) in [
            (6, &[][..], true),
            (17, &[], true),
            (132, &[], false),
            (58, &[], false),
            (0, &hop_by_hop, false),
        ] {
            let packet = Buffer::new(packet(first, extensions, &HEAD));
            let expected = is_plain.then(|| parsed(&packet).unwrap().key).map(|key| Destination {
                addr: key.dst,
                port: key.dport,
                proto: key.proto,
                l4: HEADER,
            });
            assert_eq!(destination(&packet, 0), expected, "{first}");
        }
        let cut = Buffer::new(packet(6, &[], &HEAD[..3]));
        assert_eq!(destination(&cut, 0), None);
    }

    #[test]
    fn the_pseudo_headers_sum_is_that_of_its_words() {
        let bytes = packet(17, &[], &HEAD);
        let key = parsed(&Buffer::new(bytes.clone())).unwrap().key;
        let words = [&bytes[8..40], &[0, 0, 0, 20, 0, 0, 0, 17]].concat();
        assert_eq!(pseudo_sum(&key, 20), sum(&words));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..160), first in 0_u8..61) {
            let _ = parsed(&Buffer::new(packet(first, &[], &bytes)));
            let _ = parse_error(&Buffer::new(packet(58, &[], &bytes)), 0, &mut IcmpError::default());
            let _ = parsed(&Buffer::new(bytes));
        }

        #[test]
        fn a_rewritten_packet_verifies_and_holds_the_translation(
            src in any::<[u32; 4]>(), dst in any::<[u32; 4]>(), sport in any::<u16>(), dport in any::<u16>(), hop in any::<bool>(),
        ) {
            // The sum over addresses and transport header, with the checksum in it: what a receiver verifies.
            let verify = |bytes: &[u8]| sum(&[&bytes[8..40], &bytes[40..60]].concat());
            let mut bytes = packet(6, &[], &HEAD);
            let check = !verify(&bytes);
            bytes[56..58].copy_from_slice(&check.to_ne_bytes());
            let mut buffer = Buffer::new(bytes);
            let before = parsed(&buffer).unwrap();
            let to = FlowValue { src: Addr6(src), dst: Addr6(dst), sport: Be16(sport), dport: Be16(dport), ..FlowValue::default() };
            let change = rewrite(&buffer, &before, &to, hop).unwrap();
            let after = parsed(&buffer).unwrap();
            prop_assert_eq!((after.key.src, after.key.dst, after.key.sport, after.key.dport), (to.src, to.dst, to.sport, to.dport));
            prop_assert_eq!(after.hops, if hop { 63 } else { 64 });
            let mut bytes = buffer.bytes().to_vec();
            let old = u16::from_ne_bytes([bytes[56], bytes[57]]);
            bytes[56..58].copy_from_slice(&change.ports.apply(change.pseudo.apply(old)).to_ne_bytes());
            prop_assert_eq!(verify(&bytes), 0xffff);
        }
    }
}
