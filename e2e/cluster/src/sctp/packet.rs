//! Packets of one chunk (RFC 9260 §3).

/// Types of chunks (§3.2).
pub(crate) mod chunk {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
}

/// Length of the common header, and of a chunk's header.
const COMMON: usize = 12;
const CHUNK: usize = 4;
/// What INIT and INIT ACK have before their parameters (§3.3.2).
const INIT_FIXED: usize = 16;
/// Type of the parameter that an INIT ACK carries for its receiver to echo (§3.3.3.1).
const STATE_COOKIE: u16 = 7;

/// A packet, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Verification tag: the one that its receiver has chosen (§8.5).
    pub(crate) tag: u32,
    /// Type of its only chunk.
    pub(crate) chunk: u8,
    /// The chunk behind its header.
    pub(crate) body: Vec<u8>,
}

impl Packet {
    /// The bytes with their checksum.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(CHUNK + self.body.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::new();
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.chunk, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let checksum = crc32c(&bytes);
        bytes[8..COMMON].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a packet; `None` if it is cut off or its checksum is wrong.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let mut unsummed = bytes.to_vec();
        unsummed.get_mut(8..COMMON)?.fill(0);
        if crc32c(&unsummed).to_le_bytes() != bytes[8..COMMON] {
            return None;
        }
        let length = usize::from(half(COMMON + 2)?);
        Some(Self {
            source_port: half(0)?,
            destination_port: half(2)?,
            tag: word(bytes, 4)?,
            chunk: *bytes.get(COMMON)?,
            body: bytes.get(COMMON + CHUNK..COMMON + length)?.to_vec(),
        })
    }

    /// The body of an INIT, or of an INIT ACK if there is a cookie: the sender's own tag, a window, two streams, a sequence number.
    pub(crate) fn init_body(own_tag: u32, cookie: Option<&[u8]>) -> Vec<u8> {
        let mut body = own_tag.to_be_bytes().to_vec();
        body.extend([0, 1, 0, 0, 0, 1, 0, 1]);
        body.extend(own_tag.to_be_bytes());
        if let Some(cookie) = cookie {
            body.extend(STATE_COOKIE.to_be_bytes());
            body.extend(u16::try_from(CHUNK + cookie.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend(cookie);
        }
        body
    }

    /// The tag that the sender of an INIT or INIT ACK has chosen.
    pub(crate) fn initiate_tag(&self) -> Option<u32> {
        word(&self.body, 0)
    }

    /// The cookie of an INIT ACK.
    pub(crate) fn cookie(&self) -> Option<&[u8]> {
        let parameter = self.body.get(INIT_FIXED..)?;
        let (kind, length) = (parameter.get(..2)?, parameter.get(2..CHUNK)?);
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        (kind == STATE_COOKIE.to_be_bytes()).then(|| parameter.get(CHUNK..length))?
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// CRC32c, bit by bit (appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |register: u32, byte: &u8| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written_unless_a_bit_of_it_is_wrong() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the published check value");
        let packet = Packet {
            source_port: 40_000,
            destination_port: 5_060,
            tag: 7,
            chunk: chunk::INIT_ACK,
            body: Packet::init_body(9, Some(b"kpr!x")),
        };
        let bytes = packet.bytes();
        assert_eq!(bytes.len() % 4, 0);
        let read = Packet::read(&bytes).unwrap();
        assert_eq!(read, packet);
        assert_eq!((read.initiate_tag(), read.cookie()), (Some(9), Some(&b"kpr!x"[..])));
        for bit in 0..8 * bytes.len() {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Packet::read(&wrong), None, "bit {bit}");
        }
    }
}
