//! A packet that nobody sends, byte by byte: the first one of a flow, or one in its middle.

use kpr_abi::proto;
use std::net::{IpAddr, SocketAddr};

/// What a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// IP protocol number: TCP, UDP or SCTP.
    pub protocol: u8,
    /// Who sends it.
    pub from: SocketAddr,
    /// What for; of the same family.
    pub to: SocketAddr,
    /// Whether it opens a connection, as SYN and INIT do. Every datagram of UDP may.
    pub opens: bool,
}

/// As many hops as hosts give their packets.
const HOPS: u8 = 64;
/// The sender's Ethernet address: nobody's, of those that are given by hand.
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// RFC 9293 §3.1.
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;
/// RFC 9260 §3.2: INIT, HEARTBEAT.
const SCTP_INIT: u8 = 1;
const SCTP_HEARTBEAT: u8 = 4;

impl Probe {
    /// The packet in an Ethernet frame for the device of this address. Its transport checksum is left out: nothing on this node asks for
    /// it, and nothing leaves.
    pub fn frame(&self, device: [u8; 6]) -> Vec<u8> {
        let transport = self.transport();
        let length = u16::try_from(transport.len()).unwrap_or(u16::MAX);
        let mut frame = [device, SENDER].concat();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend(ETHERTYPE_IPV6);
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([self.protocol, HOPS]);
                frame.extend(from.octets());
                frame.extend(to.octets());
            }
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend(ETHERTYPE_IPV4);
                let mut header = vec![0x45, 0];
                header.extend((20 + length).to_be_bytes());
                // No identification; not to be fragmented.
                header.extend([0, 0, 0x40, 0, HOPS, self.protocol, 0, 0]);
                header.extend(from.octets());
                header.extend(to.octets());
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend(header);
            }
            // Of no family: no packet, and nobody's.
            _ => {}
        }
        frame.extend(transport);
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat();
        match self.protocol {
            proto::TCP => {
                let flags = if self.opens { TCP_SYN } else { TCP_ACK };
                // Sequence numbers, length of the header, flags, window, checksum, urgent pointer.
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            }
            proto::SCTP => {
                let chunk = if self.opens { SCTP_INIT } else { SCTP_HEARTBEAT };
                // Verification tag, checksum, and a chunk of a header and as much as an INIT has.
                bytes.extend([0; 8]);
                bytes.extend([chunk, 0, 0, 20]);
                bytes.extend([0; 16]);
            }
            // UDP: length, and no checksum, which IPv4 allows.
            _ => bytes.extend([0, 8, 0, 0]),
        }
        bytes
    }
}

/// Source and destination of the packet in a frame, if it is one of IP without options; ports are 0 where it has none.
pub(super) fn ends(frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (_, ethernet) = frame.split_at_checked(12)?;
    let (ethertype, packet) = ethernet.split_at_checked(2)?;
    let (from, to, protocol, transport): (IpAddr, IpAddr, u8, &[u8]) = if ethertype == ETHERTYPE_IPV4 {
        let (header, rest) = packet.split_first_chunk::<20>()?;
        let addr = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        (addr(12).into(), addr(16).into(), header[9], rest)
    } else if ethertype == ETHERTYPE_IPV6 {
        let (header, rest) = packet.split_first_chunk::<40>()?;
        let addr = |at: usize| header[at..].first_chunk::<16>().copied();
        (addr(8)?.into(), addr(24)?.into(), header[6], rest)
    } else {
        return None;
    };
    let port = |at: usize| match (protocol, transport.get(at..at + 2)) {
        (proto::TCP | proto::UDP | proto::SCTP, Some(&[high, low])) => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    Some((SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2))))
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks::<2>().0;
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "folded twice: 16 bits are left")]
    let folded = (folded + (folded >> 16)) as u16;
    !folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_the_lengths_and_the_header_checksum_that_a_parser_asks_for() {
        let probe = Probe {
            protocol: proto::TCP,
            from: "192.168.49.100:40000".parse().unwrap(),
            to: "192.168.49.2:30080".parse().unwrap(),
            opens: true,
        };
        let frame = probe.frame([2, 0, 0, 0, 0, 1]);
        assert_eq!(frame.len(), 14 + 20 + 20);
        assert_eq!(frame[16..18], 40_u16.to_be_bytes(), "total length");
        assert_eq!(checksum(&frame[14..34]), 0, "a right checksum makes the sum of all 0");
        assert_eq!(frame[34 + 13], TCP_SYN);
        assert_eq!(ends(&frame), Some((probe.from, probe.to)));
        for (protocol, length) in [(proto::UDP, 8), (proto::SCTP, 32)] {
            let probe = Probe {
                protocol,
                from: "[fd00::1]:40000".parse().unwrap(),
                to: "[fd00::2]:53".parse().unwrap(),
                opens: false,
            };
            let frame = probe.frame([0; 6]);
            assert_eq!(frame.len(), 14 + 40 + length);
            assert_eq!(ends(&frame), Some((probe.from, probe.to)));
            assert_eq!(usize::from(frame[19]), length, "payload length");
        }
    }
}
