//! SCTP's common header (RFC 9260 §3.1) and what its first chunk says of the association.

use crate::{crc32c, signal};
use kpr_abi::{Be16, FlowKey, FlowValue};

/// The common header and the type of the first chunk.
pub(crate) const HEAD: usize = 13;
/// Offset of the checksum in the common header.
pub const CHECKSUM: usize = 8;

/// Chunk types (RFC 9260 §3.2).
const INIT: u8 = 1;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const SHUTDOWN_COMPLETE: u8 = 14;

/// What a packet that begins with a chunk of this type tells. INIT and SHUTDOWN COMPLETE are never bundled with other chunks (§6.10);
/// an ABORT behind one is not seen, and its flow ends by its time.
#[inline(always)]
pub(crate) fn signals(first_chunk: u8) -> u8 {
    match first_chunk {
        INIT => signal::OPENS,
        SHUTDOWN | SHUTDOWN_ACK => signal::CLOSES,
        ABORT | SHUTDOWN_COMPLETE => signal::ENDS,
        _ => 0,
    }
}

/// Which bits of a packet's first four bytes, its ports, a translation changes; the first byte is the lowest.
#[inline(always)]
pub fn changed_bits<A>(was: &FlowKey<A>, to: &FlowValue<A>) -> u32 {
    let bits = |old: Be16, new: Be16| u32::from(u16::from_le_bytes((old.0 ^ new.0).to_ne_bytes()));
    bits(was.sport, to.sport) | bits(was.dport, to.dport) << 16
}

/// Length in bytes of the SCTP packet that follows `headers` bytes of IP: from the first eight bytes of the IP header, because the frame
/// may be longer than the packet. `None`: the header contradicts itself.
#[inline(always)]
pub fn length(ip: [u8; 8], headers: u16) -> Option<u16> {
    /// Of IPv6: what its length field does not count.
    const IPV6: u16 = 40;
    let [version, _, high, low, high6, low6, _, _] = ip;
    match version >> 4 {
        4 => u16::from_be_bytes([high, low]).checked_sub(headers),
        6 => u16::from_be_bytes([high6, low6]).checked_sub(headers.checked_sub(IPV6)?),
        _ => None,
    }
}

/// The checksum, as it stands in the packet, of a packet of `length` bytes once `changed` of its ports' bits have changed
/// (RFC 9260 §6.8: CRC32c, of the SCTP packet alone). A field of 0 stays 0: whoever sends the packet has left the checksum to the network
/// card, or does without (RFC 9653).
#[inline(always)]
pub fn checksum(old: [u8; 4], changed: u32, length: u16) -> [u8; 4] {
    let old = u32::from_le_bytes(old);
    let new = if old == 0 {
        0
    } else {
        old ^ crc32c::change(changed, length)
    };
    new.to_le_bytes()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::crc32c::tests::crc32c;
    use kpr_abi::{Addr4, proto};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A packet with its right checksum, which is computed with 0 in its place and sent lowest byte first.
    fn packet(sport: u16, dport: u16, chunks: &[u8]) -> Vec<u8> {
        let mut bytes = [
            &sport.to_be_bytes()[..],
            &dport.to_be_bytes(),
            &[1, 2, 3, 4, 0, 0, 0, 0],
            chunks,
        ]
        .concat();
        let crc = crc32c(bytes.iter().copied());
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn chunks_open_close_and_end_associations() {
        for (name, kind, told) in [
            ("DATA", 0, 0),
            ("INIT", 1, signal::OPENS),
            ("INIT ACK", 2, 0),
            ("HEARTBEAT", 4, 0),
            ("ABORT", 6, signal::ENDS),
            ("SHUTDOWN", 7, signal::CLOSES),
            ("SHUTDOWN ACK", 8, signal::CLOSES),
            ("COOKIE ECHO", 10, 0),
            ("SHUTDOWN COMPLETE", 14, signal::ENDS),
        ] {
            assert_eq!(signals(kind), told, "{name}");
        }
    }

    #[test]
    fn the_length_is_the_one_that_ip_tells() {
        for (name, ip, headers, length_of_sctp) in [
            ("IPv4", [0x45, 0, 0, 60, 0, 0, 0, 0], 20, Some(40)),
            ("IPv4 with options", [0x46, 0, 0, 60, 0, 0, 0, 0], 24, Some(36)),
            ("IPv4 shorter than its header", [0x45, 0, 0, 19, 0, 0, 0, 0], 20, None),
            ("IPv6", [0x60, 0, 0, 0, 0x01, 0x02, 132, 64], 40, Some(0x102)),
            ("IPv6 with an extension", [0x60, 0, 0, 0, 0, 48, 0, 64], 48, Some(40)),
            (
                "IPv6 shorter than its extension",
                [0x60, 0, 0, 0, 0, 7, 0, 64],
                48,
                None,
            ),
            ("no IP", [0x50, 0, 0, 60, 0, 60, 0, 0], 40, None),
        ] {
            assert_eq!(length(ip, headers), length_of_sctp, "{name}");
        }
    }

    #[test]
    fn a_checksum_that_is_left_to_the_network_card_stays_so() {
        assert_eq!(checksum([0; 4], 0x0050_9c40, 40), [0; 4]);
    }

    proptest! {
        #[test]
        fn a_translated_packet_verifies(
            old in any::<(u16, u16)>(), new in any::<(u16, u16)>(), chunks in proptest::collection::vec(any::<u8>(), 4..2_000),
        ) {
            let key = FlowKey::<Addr4> { sport: Be16::new(old.0), dport: Be16::new(old.1), proto: proto::SCTP, ..FlowKey::default() };
            let to = FlowValue { sport: Be16::new(new.0), dport: Be16::new(new.1), ..FlowValue::default() };
            let before = packet(old.0, old.1, &chunks);
            let length = u16::try_from(before.len()).unwrap();
            let field = before[CHECKSUM..CHECKSUM + 4].try_into().unwrap();
            let after = checksum(field, changed_bits(&key, &to), length);
            prop_assert_eq!(&after, &packet(new.0, new.1, &chunks)[CHECKSUM..CHECKSUM + 4]);
        }
    }
}
