//! Packets byte by byte, with right checksums: what goes in, and what is expected to come out.

use std::net::Ipv4Addr;

/// An IPv4 packet of TCP, UDP or SCTP in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) src: (Ipv4Addr, u16),
    pub(crate) dst: (Ipv4Addr, u16),
    pub(crate) ttl: u8,
    pub(crate) transport: Transport,
    /// IPv4 options, a multiple of four bytes.
    pub(crate) options: Vec<u8>,
    /// Flags and fragment offset.
    pub(crate) fragment: u16,
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp {
        flags: u8,
    },
    Udp {
        checksum: bool,
    },
    Sctp {
        /// Type of the only chunk.
        chunk: u8,
        /// Else the field is 0, as it is left to a network card.
        checksum: bool,
    },
    /// A later fragment of a packet of this protocol: no transport header.
    Fragment {
        protocol: u8,
    },
}

pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const RST: u8 = 0x04;

impl Packet {
    pub(crate) fn tcp(flags: u8, src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16)) -> Self {
        Self::new(Transport::Tcp { flags }, src, dst)
    }

    pub(crate) fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16)) -> Self {
        Self::new(Transport::Udp { checksum: true }, src, dst)
    }

    pub(crate) fn sctp(chunk: u8, src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16)) -> Self {
        Self::new(Transport::Sctp { chunk, checksum: true }, src, dst)
    }

    fn new(transport: Transport, src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16)) -> Self {
        Self {
            src,
            dst,
            ttl: 64,
            transport,
            options: Vec::new(),
            fragment: 0x4000,
            payload: b"kpr!x".to_vec(),
        }
    }

    pub(crate) fn from(self, src: (Ipv4Addr, u16)) -> Self {
        Self { src, ..self }
    }

    pub(crate) fn to(self, dst: (Ipv4Addr, u16)) -> Self {
        Self { dst, ..self }
    }

    pub(crate) fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// The last fragment of this packet, `offset` times eight bytes behind its start.
    pub(crate) fn later_fragment(self, offset: u16) -> Self {
        Self {
            fragment: offset,
            transport: Transport::Fragment {
                protocol: self.protocol(),
            },
            ..self
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00];
        let transport = self.transport_bytes();
        let header = 20 + self.options.len();
        let mut ip = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        ip.extend(u16::try_from(header + transport.len()).unwrap().to_be_bytes());
        ip.extend([0x12, 0x34]);
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, self.protocol(), 0, 0]);
        ip.extend(self.src.0.octets());
        ip.extend(self.dst.0.octets());
        ip.extend(&self.options);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(ip);
        frame.extend(transport);
        frame
    }

    fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => 6,
            Transport::Udp { .. } => 17,
            Transport::Sctp { .. } => 132,
            Transport::Fragment { protocol } => protocol,
        }
    }

    fn transport_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.src.1.to_be_bytes(), self.dst.1.to_be_bytes()].concat();
        let at = match self.transport {
            Transport::Tcp { flags } => {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
                Some(16)
            }
            Transport::Udp { checksum } => {
                bytes.extend(u16::try_from(8 + self.payload.len()).unwrap().to_be_bytes());
                bytes.extend([0, 0]);
                checksum.then_some(6)
            }
            Transport::Sctp { chunk, checksum } => return sctp(&bytes, chunk, &self.payload, checksum),
            Transport::Fragment { .. } => return self.payload.clone(),
        };
        bytes.extend(&self.payload);
        if let Some(at) = at {
            let mut pseudo = Vec::new();
            pseudo.extend(self.src.0.octets());
            pseudo.extend(self.dst.0.octets());
            pseudo.extend([0, self.protocol()]);
            pseudo.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            pseudo.extend(&bytes);
            let sum = checksum(&pseudo);
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

/// Verification tag of all packets of SCTP.
const TAG: [u8; 4] = [0xca, 0xfe, 0xf0, 0x0d];

/// A packet of SCTP behind its ports (RFC 9260 §3): one chunk, padded to a multiple of four bytes, and the checksum if there is one.
pub(crate) fn sctp(ports: &[u8], chunk: u8, payload: &[u8], checksum: bool) -> Vec<u8> {
    let [high, low] = u16::try_from(4 + payload.len()).unwrap().to_be_bytes();
    let mut bytes = [ports, &TAG, &[0; 4], &[chunk, 0, high, low], payload].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    if checksum {
        let sum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// RFC 9260 appendix A, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |register: u32, byte: &u8| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// Addresses and ports of a packet without options, for answers to ports that the program chose.
pub(crate) fn endpoints(frame: &[u8]) -> ((Ipv4Addr, u16), (Ipv4Addr, u16)) {
    let addr = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    ((addr(26), port(34)), (addr(30), port(36)))
}

/// RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// An ICMP packet that quotes the start of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) quoted: Packet,
}

/// Length of the Ethernet header and of an IPv4 header without options.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const ICMP: usize = 8;

impl IcmpError {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.assemble(&self.quoted.bytes()[ETHERNET..])
    }

    /// The same, if it quotes no more than it must: the IP header and eight bytes behind it.
    pub(crate) fn shortest_bytes(&self) -> Vec<u8> {
        self.assemble(&self.quoted.bytes()[ETHERNET..ETHERNET + IPV4 + 8])
    }

    /// As [`Self::bytes`], but the transport checksum inside the quotation is the one that `original` quotes: translation leaves
    /// it, because receivers know the flow by its ports.
    pub(crate) fn bytes_with_stale_inner_checksum(&self, original: &Self) -> Vec<u8> {
        let mut quoted = self.quoted.bytes()[ETHERNET..].to_vec();
        let field = match self.quoted.transport {
            Transport::Tcp { .. } => 16..18,
            Transport::Udp { .. } | Transport::Fragment { .. } => 6..8,
            Transport::Sctp { .. } => 8..12,
        };
        let field = IPV4 + field.start..IPV4 + field.end;
        quoted[field.clone()].copy_from_slice(&original.quoted.bytes()[ETHERNET..][field]);
        self.assemble(&quoted)
    }

    fn assemble(&self, quoted: &[u8]) -> Vec<u8> {
        // Any packet gives Ethernet and IPv4 headers; its transport header gives way to ICMP.
        let mut icmp = vec![self.kind, self.code, 0, 0, 0, 0, 0x05, 0x78];
        icmp.extend(quoted);
        let sum = checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut frame = Packet::udp((self.src, 0), (self.dst, 0)).bytes();
        frame.truncate(ETHERNET + IPV4);
        let ip = &mut frame[ETHERNET..];
        ip[2..4].copy_from_slice(&u16::try_from(IPV4 + icmp.len()).unwrap().to_be_bytes());
        ip[8] = self.ttl;
        ip[9] = 1;
        ip[10..12].fill(0);
        let sum = checksum(ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        debug_assert_eq!(icmp.len(), ICMP + quoted.len());
        frame.extend(icmp);
        frame
    }
}
