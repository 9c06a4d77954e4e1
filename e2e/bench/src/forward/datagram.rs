//! The packets that are forwarded: datagrams of UDP over IPv4, as short as Ethernet has frames.

use std::net::SocketAddrV4;

use crate::{
    checksum::{fold, ipv4, sum},
    packets::frame::LENGTH,
};

/// Length of the headers that are the same packet's again when it is sent again: Ethernet, IPv4, UDP, and what the payload begins with.
pub(super) const HEADERS: usize = 54;
/// Offset of the source port.
const SOURCE_PORT: usize = 14 + 20;

/// A datagram on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) src: SocketAddrV4,
    pub(super) dst: SocketAddrV4,
    pub(super) ttl: u8,
    /// Hardware addresses of the machine that has sent it last, and of the next one.
    pub(super) hop: [[u8; 6]; 2],
}

impl Datagram {
    /// As it stands on the wire, with right checksums and a payload of zeros.
    pub(super) fn bytes(&self) -> [u8; LENGTH] {
        #[expect(clippy::cast_possible_truncation, reason = "a short frame")]
        let length = (LENGTH - 14) as u8;
        let [from, to] = self.hop;
        let mut frame = [0; LENGTH];
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
        frame[12] = 0x08;
        let ip = &mut frame[14..];
        ipv4(ip, self.ttl, 17, [*self.src.ip(), *self.dst.ip()]);
        let udp = &mut ip[20..];
        udp[..2].copy_from_slice(&self.src.port().to_be_bytes());
        udp[2..4].copy_from_slice(&self.dst.port().to_be_bytes());
        udp[5] = length - 20;
        // The pseudo header: addresses (which are part of the slice), protocol and length.
        let pseudo = 17 + u32::from(length - 20);
        let check = match !fold(u32::from(sum(&frame[26..])) + pseudo) {
            // None at all is told by 0 (RFC 768).
            0 => !0,
            check => check,
        };
        frame[40..42].copy_from_slice(&check.to_be_bytes());
        frame
    }

    /// Its headers, as the program takes them that makes packets.
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

/// The headers in a template.
pub(super) fn headers(template: [u64; 8]) -> [u8; HEADERS] {
    let mut headers = [0; HEADERS];
    let bytes = template.iter().flat_map(|word| word.to_ne_bytes());
    for (to, byte) in headers.iter_mut().zip(bytes) {
        *to = byte;
    }
    headers
}

/// The source port in a datagram's headers.
pub(super) fn source_port(headers: [u8; HEADERS]) -> u16 {
    u16::from_be_bytes([headers[SOURCE_PORT], headers[SOURCE_PORT + 1]])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn datagram(port: u16) -> Datagram {
        Datagram {
            src: SocketAddrV4::new(Ipv4Addr::new(192, 168, 49, 100), port),
            dst: SocketAddrV4::new(Ipv4Addr::new(192, 168, 49, 2), 31_683),
            ttl: 64,
            hop: [[2, 0, 0, 0, 0, 0x64], [2, 0, 0, 0, 0, 1]],
        }
    }

    #[test]
    fn checksums_are_right() {
        let frame = datagram(20_000).bytes();
        assert_eq!(sum(&frame[14..34]), 0xffff, "IPv4");
        let mut pseudo = frame[26..34].to_vec();
        pseudo.extend([0, 17, 0, 26]);
        pseudo.extend(&frame[34..]);
        assert_eq!(sum(&pseudo), 0xffff, "UDP");
        assert_eq!(frame[38..40], [0, 26], "the length that UDP has besides");
    }

    #[test]
    fn headers_come_back_out_of_their_template() {
        let datagram = datagram(20_001);
        let found = headers(datagram.template());
        assert_eq!(found, datagram.bytes()[..HEADERS]);
        assert_eq!(source_port(found), 20_001);
    }
}
