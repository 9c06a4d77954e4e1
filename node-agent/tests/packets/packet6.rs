//! IPv6 packets byte by byte, with right checksums.

use crate::packet::{checksum, sctp};
use std::net::Ipv6Addr;

/// What stands between the fixed header and the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Tcp {
        flags: u8,
    },
    Udp,
    Sctp {
        /// Type of the only chunk.
        chunk: u8,
    },
    /// A later fragment of a packet of this protocol.
    Later {
        protocol: u8,
    },
}

/// An IPv6 packet in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet6 {
    pub(crate) src: (Ipv6Addr, u16),
    pub(crate) dst: (Ipv6Addr, u16),
    pub(crate) hops: u8,
    pub(crate) head: Head,
    /// Extension headers, each with its type; lengths are a multiple of eight and already in them, the next type is filled in.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
}

const PAYLOAD: &[u8] = b"kpr!x";

impl Packet6 {
    pub(crate) fn new(head: Head, src: (Ipv6Addr, u16), dst: (Ipv6Addr, u16)) -> Self {
        Self {
            src,
            dst,
            hops: 64,
            head,
            extensions: Vec::new(),
        }
    }

    pub(crate) fn from(self, src: (Ipv6Addr, u16)) -> Self {
        Self { src, ..self }
    }

    pub(crate) fn to(self, dst: (Ipv6Addr, u16)) -> Self {
        Self { dst, ..self }
    }

    pub(crate) fn hops(self, hops: u8) -> Self {
        Self { hops, ..self }
    }

    pub(crate) fn with(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.extensions.push((kind, bytes.to_vec()));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x86, 0xdd];
        frame.extend(self.network());
        frame
    }

    /// The packet without its frame.
    pub(crate) fn network(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut chain = Vec::new();
        for (i, (_, bytes)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(i + 1).map_or(self.protocol(), |(kind, _)| *kind);
            chain.push(next);
            chain.extend(&bytes[1..]);
        }
        let first = self.extensions.first().map_or(self.protocol(), |(kind, _)| *kind);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(u16::try_from(chain.len() + transport.len()).unwrap().to_be_bytes());
        packet.extend([first, self.hops]);
        packet.extend(self.src.0.octets());
        packet.extend(self.dst.0.octets());
        packet.extend(chain);
        packet.extend(transport);
        packet
    }

    fn protocol(&self) -> u8 {
        match self.head {
            Head::Tcp { .. } => 6,
            Head::Udp => 17,
            Head::Sctp { .. } => 132,
            Head::Later { protocol } => protocol,
        }
    }

    fn transport(&self) -> Vec<u8> {
        let ports = [self.src.1.to_be_bytes(), self.dst.1.to_be_bytes()].concat();
        let (mut bytes, at) = match self.head {
            Head::Tcp { flags } => (
                [ports, vec![0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat(),
                16,
            ),
            Head::Udp => ([ports, vec![0, 13, 0, 0]].concat(), 6),
            Head::Sctp { chunk } => return sctp(&ports, chunk, PAYLOAD, true),
            Head::Later { .. } => return PAYLOAD.to_vec(),
        };
        bytes.extend(PAYLOAD);
        let sum = pseudo_checksum(self.src.0, self.dst.0, self.protocol(), &bytes);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// The checksum over the pseudo header and `bytes` (RFC 8200 §8.1).
pub(crate) fn pseudo_checksum(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut all = [src.octets(), dst.octets()].concat();
    all.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(bytes);
    checksum(&all)
}

/// An ICMPv6 error of this type that quotes a packet.
pub(crate) fn error(kind: u8, src: Ipv6Addr, dst: Ipv6Addr, hops: u8, quoted: &[u8]) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0, 0, 0, 0x05, 0x00];
    icmp.extend(quoted);
    let sum = pseudo_checksum(src, dst, 58, &icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend(u16::try_from(icmp.len()).unwrap().to_be_bytes());
    frame.extend([58, hops]);
    frame.extend(src.octets());
    frame.extend(dst.octets());
    frame.extend(icmp);
    frame
}

/// Addresses and ports of a packet without extension headers.
pub(crate) fn endpoints(frame: &[u8]) -> ((Ipv6Addr, u16), (Ipv6Addr, u16)) {
    let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    ((addr(22), port(54)), (addr(38), port(56)))
}
