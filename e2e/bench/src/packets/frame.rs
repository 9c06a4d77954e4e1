//! Packets of TCP over IPv4, with right checksums.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::checksum::{fold, ipv4, sum};

/// Length of a frame: the shortest that Ethernet has.
pub(crate) const LENGTH: usize = 60;
/// Length of the headers: Ethernet, IPv4, TCP.
const HEADERS: usize = 14 + 20 + 20;
/// Where the frames are for: the node's device.
pub(crate) const NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The other node's device.
pub(crate) const OTHER_NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x03];
/// The default gateway's: clients are behind it.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x64];

pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;

/// A packet of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) src: SocketAddrV4,
    pub(super) dst: SocketAddrV4,
    pub(super) flags: u8,
    pub(super) ttl: u8,
}

impl Frame {
    pub(super) fn new(flags: u8, src: SocketAddrV4, dst: SocketAddrV4) -> Self {
        Self {
            src,
            dst,
            flags,
            ttl: 64,
        }
    }

    /// As it stands on the wire.
    pub(super) fn bytes(&self) -> [u8; LENGTH] {
        let mut frame = [0; LENGTH];
        frame[..6].copy_from_slice(&NODE_MAC);
        frame[6] = 0x02;
        frame[12] = 0x08;
        let ip = &mut frame[14..];
        ipv4(ip, self.ttl, 6, [*self.src.ip(), *self.dst.ip()]);
        let tcp = &mut ip[20..];
        tcp[..2].copy_from_slice(&self.src.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&self.dst.port().to_be_bytes());
        // No options either.
        tcp[12] = 0x50;
        tcp[13] = self.flags;
        tcp[14] = 0xff;
        // The pseudo header: addresses (which are part of the slice), protocol and length.
        let pseudo = 6 + u32::try_from(LENGTH - 34).unwrap_or(0);
        let check = !fold(u32::from(sum(&frame[26..])) + pseudo);
        frame[50..52].copy_from_slice(&check.to_be_bytes());
        frame
    }

    /// Whether its checksum is the sum over its pseudo header alone, as if it were left to a network card: of one packet in 65,535. XDP lets
    /// such a packet go up.
    pub(super) fn looks_unfinished(&self) -> bool {
        let bytes = self.bytes();
        let pseudo = 6 + u32::try_from(LENGTH - 34).unwrap_or(0);
        let check = u16::from_be_bytes([bytes[50], bytes[51]]);
        check == fold(u32::from(sum(&bytes[26..34])) + pseudo)
    }

    /// Its headers, as the program takes them that makes packets anew.
    pub(super) fn template(&self) -> [u64; 8] {
        let mut bytes = [0; 64];
        bytes[..HEADERS].copy_from_slice(&self.bytes()[..HEADERS]);
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words
    }
}

/// The `index`-th client outside, an address and port of its own.
pub(super) fn client(index: u32) -> SocketAddrV4 {
    /// How many have the same port.
    const ADDRESSES: u32 = 200;
    /// TEST-NET-2 (RFC 5737).
    const FIRST: u32 = 0xc633_6401;
    let port = u16::try_from(1_024 + index / ADDRESSES).unwrap_or(u16::MAX);
    SocketAddrV4::new(Ipv4Addr::from(FIRST + index % ADDRESSES), port)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn checksums_are_right() {
        let frame = Frame::new(ACK, client(7), SocketAddrV4::new([192, 168, 49, 2].into(), 31_683)).bytes();
        assert_eq!(sum(&frame[14..34]), 0xffff, "IPv4");
        let mut pseudo = frame[26..34].to_vec();
        pseudo.extend([0, 6, 0, 26]);
        pseudo.extend(&frame[34..]);
        assert_eq!(sum(&pseudo), 0xffff, "TCP");
    }

    #[test]
    fn hardly_a_packet_looks_unfinished() {
        let to = SocketAddrV4::new([192, 168, 49, 2].into(), 31_683);
        let frames = (0..100_000).map(|index| Frame::new(ACK, client(index), to));
        let found = frames.filter(Frame::looks_unfinished).count();
        assert!(found <= 10, "{found}");
    }

    #[test]
    fn clients_share_nothing() {
        let clients: HashSet<_> = (0..120_000).map(client).collect();
        assert_eq!(clients.len(), 120_000);
    }

    #[test]
    fn a_template_is_the_headers_and_nothing_behind_them() {
        let frame = Frame::new(SYN, client(1), client(2));
        let bytes: Vec<u8> = frame.template().iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes[..HEADERS], frame.bytes()[..HEADERS]);
        assert_eq!(bytes[HEADERS..], [0; 10]);
    }
}
