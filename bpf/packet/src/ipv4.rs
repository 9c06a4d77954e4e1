//! IPv4 packets of TCP and UDP.

use crate::{Packet, Unparsed, Window, checksum::Change};
use kpr_abi::{Addr4, Be16, FlowKey, FlowValue, proto};

/// Length of an IPv4 header without options.
pub const HEADER: usize = 20;
/// Bytes of the transport header that are read: ports, and with TCP the flags.
pub const PORTS: usize = 8;
const TCP_HEAD: usize = 14;

/// "More fragments" and the fragment offset (RFC 791 §3.1), in the machine's order.
const FRAGMENT: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// What of a packet decides its way.
#[derive(Clone, Copy, Debug)]
pub struct Parsed {
    /// The packet's tuple, direction 0.
    pub key: FlowKey<Addr4>,
    /// Offset of the IPv4 header.
    pub l3: usize,
    /// Offset of the transport header.
    pub l4: usize,
    /// TCP flags, 0 for UDP.
    pub tcp_flags: u8,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// It is the first of several fragments: the others have no ports.
    pub fragment: bool,
}

/// Reads the headers of the packet whose IPv4 header is at `l3`.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, l3: usize) -> Result<Parsed, Unparsed> {
    let ip: Window<HEADER> = packet.window(l3).ok_or(Unparsed::Malformed)?;
    let version_and_length = ip.u8::<0>();
    let length = usize::from(version_and_length & 0x0f) * 4;
    if version_and_length >> 4 != 4 || length < HEADER {
        return Err(Unparsed::Malformed);
    }
    let protocol = ip.u8::<9>();
    if protocol != proto::TCP && protocol != proto::UDP {
        return Err(Unparsed::OtherProtocol);
    }
    let fragment = u16::from_be(ip.u16::<6>());
    if fragment & FRAGMENT_OFFSET != 0 {
        return Err(Unparsed::LaterFragment);
    }
    let l4 = l3 + length;
    let ports: Window<PORTS> = packet.window(l4).ok_or(Unparsed::Malformed)?;
    let tcp_flags = if protocol == proto::TCP {
        packet.window::<TCP_HEAD>(l4).ok_or(Unparsed::Malformed)?.u8::<13>()
    } else {
        0
    };
    Ok(Parsed {
        key: FlowKey {
            src: Addr4(ip.u32::<12>()),
            dst: Addr4(ip.u32::<16>()),
            sport: Be16(ports.u16::<0>()),
            dport: Be16(ports.u16::<2>()),
            proto: protocol,
            direction: 0,
            zero: 0,
        },
        l3,
        l4,
        tcp_flags,
        ttl: ip.u8::<8>(),
        tos: ip.u8::<1>(),
        fragment: fragment & FRAGMENT != 0,
    })
}

/// How the transport checksum has to change after [`rewrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportChange {
    /// Change of the pseudo header: the addresses.
    pub pseudo: Change,
    /// Change of the transport header itself: the ports.
    pub ports: Change,
}

/// Writes a flow's new addresses and ports into the packet, with `hop` also one less time to live, and fixes the IPv4 header's
/// checksum. The transport checksum is the caller's, because who computes it (this code, the kernel or the network card)
/// depends on where the packet is. `None`: the packet is shorter than when it was parsed, and was not changed.
#[inline(always)]
pub fn rewrite<P: Packet>(packet: &P, parsed: &Parsed, to: &FlowValue<Addr4>, hop: bool) -> Option<TransportChange> {
    let ip: Window<HEADER> = packet.window(parsed.l3)?;
    let ports: Window<PORTS> = packet.window(parsed.l4)?;
    ports.set_u16::<0>(to.sport.0);
    ports.set_u16::<2>(to.dport.0);
    let pseudo = Change::NONE
        .word(parsed.key.src.0, to.src.0)
        .word(parsed.key.dst.0, to.dst.0);
    let mut header = pseudo;
    if hop {
        let old = ip.u16::<8>();
        ip.set_u8::<8>(parsed.ttl.wrapping_sub(1));
        header = header.half(old, ip.u16::<8>());
    }
    ip.set_u32::<12>(to.src.0);
    ip.set_u32::<16>(to.dst.0);
    ip.set_u16::<10>(header.apply(ip.u16::<10>()));
    Some(TransportChange {
        pseudo,
        ports: Change::NONE
            .half(parsed.key.sport.0, to.sport.0)
            .half(parsed.key.dport.0, to.dport.0),
    })
}
