//! Packets inside packets, for DSR: as IP in IP (RFC 2003, RFC 2473), and as Geneve (RFC 8926).
//!
//! The inner packet follows as it is, with its own IP header: Geneve's payload is IP and not an Ethernet frame, which would cost 14 bytes
//! of the path's MTU and tell nothing. The outer header has neither options nor extensions and is never fragmented. Its ECN bits are 0
//! (RFC 6040 §4.3, compatibility mode: a congested router drops the packet, since nobody would carry a mark inside).
//!
//! The outer UDP checksum is 0. IPv6 allows that for tunnels (RFC 6935): the inner packet has checksums of its own, and one that a
//! wrong address leads to another node is taken there for a flow that it does not know.

use crate::{Packet, Unparsed, Window, checksum::Change, ipv4, ipv6};
use kpr_abi::{Addr4, Addr6, Be16, proto};

/// IPv4 in IP.
pub const IPV4: u8 = 4;
/// IPv6 in IP.
pub const IPV6: u8 = 41;
/// Length of UDP's and Geneve's header together: Geneve's has no options.
pub const GENEVE: usize = 8 + 8;
/// Geneve's port.
pub const GENEVE_PORT: Be16 = Be16::new(6081);
/// Virtual network of kpr's packets, "kpr": a CNI's own Geneve packets come to the same port.
const VNI: [u8; 4] = [b'k', b'p', b'r', 0];
/// `ETH_P_IP` and `ETH_P_IPV6`, which are Geneve's protocol types.
const ETHERTYPE4: u16 = 0x0800_u16.to_be();
const ETHERTYPE6: u16 = 0x86dd_u16.to_be();
/// Hops that an outer packet may take.
const HOPS: u8 = 64;
/// "Don't fragment" (RFC 791 §3.1).
const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

/// How a packet is put into another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Dispatch {
    /// Behind an IP header.
    #[default]
    Ipip = 0,
    /// Behind headers of IP, UDP and Geneve.
    Geneve = 1,
}

impl Dispatch {
    /// Length of what stands between the two IP headers.
    #[inline(always)]
    pub const fn between(self) -> usize {
        match self {
            Self::Ipip => 0,
            Self::Geneve => GENEVE,
        }
    }
}

/// The header in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outer<A> {
    /// The node that encapsulated the packet.
    pub src: A,
    /// The backend that it is for.
    pub dst: A,
    /// What stands between this header and the inner one.
    pub dispatch: Dispatch,
    /// Tells flows apart where routers spread them over several paths.
    pub entropy: u32,
    /// Length of the inner packet.
    pub length: u16,
    /// The inner packet's type of service, traffic class.
    pub class: u8,
}

/// Writes an IPv4 header, and UDP's and Geneve's if they are asked for, at `l3`, where room was made. `None`: there is none.
#[inline(always)]
pub fn write4<P: Packet>(packet: &P, l3: usize, outer: &Outer<Addr4>) -> Option<()> {
    let ip: Window<{ ipv4::HEADER }> = packet.window(l3)?;
    let between = outer.dispatch.between() as u16;
    let length = outer.length.wrapping_add(ipv4::HEADER as u16 + between).to_be();
    let protocol = match outer.dispatch {
        Dispatch::Ipip => IPV4,
        Dispatch::Geneve => proto::UDP,
    };
    let hops = u16::from_ne_bytes([HOPS, protocol]);
    let start = u16::from_ne_bytes([0x45, outer.class & 0xfc]);
    ip.set_u16::<0>(start);
    ip.set_u16::<2>(length);
    // Identification means nothing where nothing is ever a fragment (RFC 6864 §4.1).
    ip.set_u16::<4>(0);
    ip.set_u16::<6>(DONT_FRAGMENT);
    ip.set_u16::<8>(hops);
    ip.set_u32::<12>(outer.src.0);
    ip.set_u32::<16>(outer.dst.0);
    let sum = Change::NONE
        .more(u32::from(start))
        .more(u32::from(length))
        .more(u32::from(DONT_FRAGMENT))
        .more(u32::from(hops))
        .more(outer.src.0)
        .more(outer.dst.0);
    ip.set_u16::<10>(sum.checksum());
    if outer.dispatch == Dispatch::Geneve {
        write_geneve(packet, l3 + ipv4::HEADER, outer, ETHERTYPE4)?;
    }
    Some(())
}

/// The same with an IPv6 header.
#[inline(always)]
pub fn write6<P: Packet>(packet: &P, l3: usize, outer: &Outer<Addr6>) -> Option<()> {
    let ip: Window<{ ipv6::HEADER }> = packet.window(l3)?;
    let next = match outer.dispatch {
        Dispatch::Ipip => IPV6,
        Dispatch::Geneve => proto::UDP,
    };
    // The flow label tells flows apart where there are no ports (RFC 6438).
    let start = 6 << 28 | u32::from(outer.class & 0xfc) << 20 | outer.entropy & 0xf_ffff;
    ip.set_u32::<0>(start.to_be());
    ip.set_u16::<4>(outer.length.wrapping_add(outer.dispatch.between() as u16).to_be());
    ip.set_u8::<6>(next);
    ip.set_u8::<7>(HOPS);
    ipv6::set_src(ip, outer.src);
    ipv6::set_dst(ip, outer.dst);
    if outer.dispatch == Dispatch::Geneve {
        write_geneve(packet, l3 + ipv6::HEADER, outer, ETHERTYPE6)?;
    }
    Some(())
}

#[inline(always)]
fn write_geneve<P: Packet, A>(packet: &P, l4: usize, outer: &Outer<A>, ethertype: u16) -> Option<()> {
    let headers: Window<GENEVE> = packet.window(l4)?;
    // From the range of dynamic ports, as RFC 8926 §3.3 asks for.
    headers.set_u16::<0>((0xc000 | outer.entropy as u16).to_be());
    headers.set_u16::<2>(GENEVE_PORT.0);
    headers.set_u16::<4>(outer.length.wrapping_add(GENEVE as u16).to_be());
    headers.set_u16::<6>(0);
    // Version 0, no options, no flags.
    headers.set_u16::<8>(0);
    headers.set_u16::<10>(ethertype);
    headers.set_u32::<12>(u32::from_ne_bytes(VNI));
    Some(())
}

/// Whether the UDP packet whose header is at `l4` is one of kpr's own Geneve packets.
#[inline(always)]
fn is_geneve<P: Packet>(packet: &P, l4: usize, ethertype: u16) -> bool {
    packet.window::<GENEVE>(l4).is_some_and(|headers| {
        headers.u16::<2>() == GENEVE_PORT.0
            && headers.u16::<8>() == 0
            && headers.u16::<10>() == ethertype
            && headers.u32::<12>() == u32::from_ne_bytes(VNI)
    })
}

/// Whether the UDP packet whose header is at `l4` may be one of kpr's own Geneve packets, of either family.
#[inline(always)]
pub fn may_be_geneve<P: Packet>(packet: &P, l4: usize) -> bool {
    is_geneve(packet, l4, ETHERTYPE4) || is_geneve(packet, l4, ETHERTYPE6)
}

/// Reads the outer headers of an encapsulated packet at `l3`: addresses and dispatch. What is not one as it is written here is refused.
#[inline(always)]
pub fn read4<P: Packet>(packet: &P, l3: usize, outer: &mut Outer<Addr4>) -> Result<(), Unparsed> {
    let ip: Window<{ ipv4::HEADER }> = packet.window(l3).ok_or(Unparsed::Malformed)?;
    if ip.u8::<0>() != 0x45 || u16::from_be(ip.u16::<6>()) & ipv4::FRAGMENT != 0 {
        return Err(Unparsed::OtherProtocol);
    }
    outer.dispatch = match ip.u8::<9>() {
        IPV4 => Dispatch::Ipip,
        proto::UDP if is_geneve(packet, l3 + ipv4::HEADER, ETHERTYPE4) => Dispatch::Geneve,
        _ => return Err(Unparsed::OtherProtocol),
    };
    outer.src = Addr4(ip.u32::<12>());
    outer.dst = Addr4(ip.u32::<16>());
    Ok(())
}

/// The same for an IPv6 header.
#[inline(always)]
pub fn read6<P: Packet>(packet: &P, l3: usize, outer: &mut Outer<Addr6>) -> Result<(), Unparsed> {
    let ip: Window<{ ipv6::HEADER }> = packet.window(l3).ok_or(Unparsed::Malformed)?;
    if ip.u8::<0>() >> 4 != 6 {
        return Err(Unparsed::Malformed);
    }
    outer.dispatch = match ip.u8::<6>() {
        IPV6 => Dispatch::Ipip,
        proto::UDP if is_geneve(packet, l3 + ipv6::HEADER, ETHERTYPE6) => Dispatch::Geneve,
        _ => return Err(Unparsed::OtherProtocol),
    };
    outer.src = ipv6::src(ip);
    outer.dst = ipv6::dst(ip);
    Ok(())
}

/// Exchanges the outer addresses: the packet goes back to where it came from. No checksum changes, for a sum has no order.
#[inline(always)]
pub fn turn4<P: Packet>(packet: &P, l3: usize, outer: &Outer<Addr4>) -> Option<()> {
    let ip: Window<{ ipv4::HEADER }> = packet.window(l3)?;
    ip.set_u32::<12>(outer.dst.0);
    ip.set_u32::<16>(outer.src.0);
    Some(())
}

/// The same for IPv6.
#[inline(always)]
pub fn turn6<P: Packet>(packet: &P, l3: usize, outer: &Outer<Addr6>) -> Option<()> {
    let ip: Window<{ ipv6::HEADER }> = packet.window(l3)?;
    ipv6::set_src(ip, outer.dst);
    ipv6::set_dst(ip, outer.src);
    Some(())
}

/// Length of the IPv4 packet at `l3`, by its header, after it has taken a hop; none if that was its last.
#[inline(always)]
pub fn hop4<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
    let ip: Window<{ ipv4::HEADER }> = packet.window(l3)?;
    let (hops, old) = (ip.u8::<8>(), ip.u16::<8>());
    if hops <= 1 {
        return None;
    }
    ip.set_u8::<8>(hops - 1);
    ip.set_u16::<10>(Change::NONE.half(old, ip.u16::<8>()).apply(ip.u16::<10>()));
    Some(u16::from_be(ip.u16::<2>()))
}

/// The same for IPv6.
#[inline(always)]
pub fn hop6<P: Packet>(packet: &P, l3: usize) -> Option<u16> {
    let ip: Window<{ ipv6::HEADER }> = packet.window(l3)?;
    let hops = ip.u8::<7>();
    if hops <= 1 {
        return None;
    }
    ip.set_u8::<7>(hops - 1);
    Some(u16::from_be(ip.u16::<4>()).wrapping_add(ipv6::HEADER as u16))
}
