//! ICMP errors that tell a sender that its packet is too big: "fragmentation needed" (RFC 1191) and "packet too big" (RFC 4443 §3.2).

use crate::checksum::Change;
use kpr_abi::{Addr4, Addr6};

/// How much of the packet an error quotes. What is too big for a path has so many bytes, for IPv4 paths have 576 (RFC 791) and IPv6 paths
/// 1280. RFC 1812 §4.3.2.3 wants no error above 576 bytes; IPv6 would allow more, and receivers need the first 48.
pub const QUOTED: usize = 512;
/// Length of an IPv4 error's headers.
pub const HEADERS4: usize = 20 + 8;
/// Length of an IPv6 error's headers.
pub const HEADERS6: usize = 40 + 8;

const HOPS: u8 = 64;

/// Headers of an IPv4 error, as 32-bit words in memory. `quoted`: the sum over what is quoted.
#[inline(always)]
pub fn headers4(src: Addr4, dst: Addr4, mtu: u16, quoted: u32) -> [u32; HEADERS4 / 4] {
    const LENGTH: u16 = (HEADERS4 + QUOTED) as u16;
    /// Destination unreachable, fragmentation needed.
    const KIND: u32 = u32::from_ne_bytes([3, 4, 0, 0]);
    let start = u32::from_ne_bytes([0x45, 0, LENGTH.to_be_bytes()[0], LENGTH.to_be_bytes()[1]]);
    let protocol = u32::from_ne_bytes([HOPS, 1, 0, 0]);
    let [high, low] = mtu.to_be_bytes();
    let mtu = u32::from_ne_bytes([0, 0, high, low]);
    let ip = Change::NONE
        .more(start)
        .more(protocol)
        .more(src.0)
        .more(dst.0)
        .checksum();
    let icmp = Change::NONE.more(KIND).more(mtu).more(quoted).checksum();
    [
        start,
        0,
        protocol | high_half(ip),
        src.0,
        dst.0,
        KIND | high_half(icmp),
        mtu,
    ]
}

/// The same for IPv6, whose checksum is over the addresses, too (RFC 8200 §8.1).
#[inline(always)]
pub fn headers6(src: Addr6, dst: Addr6, mtu: u16, quoted: u32) -> [u32; HEADERS6 / 4] {
    const LENGTH: u16 = (8 + QUOTED) as u16;
    const ICMP: u8 = 58;
    /// Packet too big.
    const KIND: u32 = u32::from_ne_bytes([2, 0, 0, 0]);
    let [high, low] = LENGTH.to_be_bytes();
    let mtu = u32::from(mtu).to_be();
    let mut sum = Change::NONE
        .more(u32::from(LENGTH).to_be())
        .more(u32::from(ICMP).to_be())
        .more(KIND)
        .more(mtu)
        .more(quoted);
    let mut i = 0;
    while i < 4 {
        sum = sum.more(src.0[i]).more(dst.0[i]);
        i += 1;
    }
    let [s, d] = [src.0, dst.0];
    [
        u32::from_ne_bytes([0x60, 0, 0, 0]),
        u32::from_ne_bytes([high, low, ICMP, HOPS]),
        s[0],
        s[1],
        s[2],
        s[3],
        d[0],
        d[1],
        d[2],
        d[3],
        KIND | high_half(sum.checksum()),
        mtu,
    ]
}

/// Two bytes as the later ones of a word in memory.
#[inline(always)]
const fn high_half(bytes: u16) -> u32 {
    let [first, second] = bytes.to_ne_bytes();
    u32::from_ne_bytes([0, 0, first, second])
}
