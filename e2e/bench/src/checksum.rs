//! The Internet's checksum (RFC 1071), and the header of IPv4 that has one.

use std::net::Ipv4Addr;

/// Sum of a packet's bytes, by twos.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    fold(
        words
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
            .sum(),
    )
}

/// Adds the carries.
pub(crate) fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Fills in a header without options, before whatever comes behind it; the packet may not be fragmented. `ip`: the whole packet.
pub(crate) fn ipv4(ip: &mut [u8], ttl: u8, protocol: u8, [src, dst]: [Ipv4Addr; 2]) {
    let length = u16::try_from(ip.len()).unwrap_or(0);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = ttl;
    ip[9] = protocol;
    ip[12..16].copy_from_slice(&src.octets());
    ip[16..20].copy_from_slice(&dst.octets());
    let check = !sum(&ip[..20]);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
}
