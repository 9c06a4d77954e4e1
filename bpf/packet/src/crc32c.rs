//! CRC32c (RFC 9260 appendix A), as far as a translation needs it: how a packet's checksum changes when four of its bytes do.
//!
//! A CRC is linear: the checksum of a changed packet is the old one XOR the CRC of the change alone, a packet of zeros but for the
//! changed bits. Zeros behind those only multiply by a power of x, so nothing of the packet has to be read.
//!
//! Polynomials over GF(2) of degree below 32 are words whose highest bit is the coefficient of x⁰: the reflected form, in which a
//! byte's lowest bit is the first on the wire.

/// CRC32c's polynomial without its x³².
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;
/// x⁸: one byte further.
const BYTE: u32 = ONE >> 8;

/// x⁸ⁿ for `n` below 256.
static BYTES: [u32; 256] = powers(BYTE);
/// x⁸ⁿ for `n` the multiples of 256.
static PAGES: [u32; 256] = powers(multiply(powers(BYTE)[255], BYTE));

/// The powers of `base` from the 0th on.
const fn powers(base: u32) -> [u32; 256] {
    let mut powers = [ONE; 256];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], base);
        n += 1;
    }
    powers
}

/// The product of two polynomials, modulo CRC32c's. Without a branch: the verifier goes through it once.
#[inline(always)]
const fn multiply(a: u32, mut b: u32) -> u32 {
    /// All ones where the lowest bit is 1, else 0.
    #[inline(always)]
    const fn mask(bit: u32) -> u32 {
        (bit & 1).wrapping_neg()
    }
    let mut product = 0;
    let mut bit = u32::BITS;
    while bit > 0 {
        bit -= 1;
        product ^= b & mask(a >> bit);
        b = (b >> 1) ^ (POLYNOMIAL & mask(b));
    }
    product
}

/// How the CRC of `length` bytes changes when the bits of `changed` change in the first four of them, whose first byte is the
/// lowest of the word.
#[inline(always)]
pub(crate) fn change(changed: u32, length: u16) -> u32 {
    let [low, high] = length.to_le_bytes();
    multiply(multiply(changed, BYTES[usize::from(low)]), PAGES[usize::from(high)])
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use super::change;
    use proptest::prelude::*;
    use std::vec;

    /// One more byte, bit by bit: RFC 9260 appendix A without its table.
    fn step(register: u32, byte: u8) -> u32 {
        (0..8).fold(register ^ u32::from(byte), |register, _| {
            (register >> 1) ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    }

    /// The CRC32c of bytes.
    pub(crate) fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
        !bytes.into_iter().fold(!0, step)
    }

    #[test]
    fn the_definition_gives_the_published_check_value_and_vectors() {
        assert_eq!(crc32c(*b"123456789"), 0xe306_9283);
        // RFC 3720 appendix B.4.
        assert_eq!(crc32c([0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
    }

    #[test]
    fn every_length_of_a_packet_is_right() {
        for changed in [1, 0x8000_0000, 0x0050_9c40, u32::MAX] {
            let mut register = changed.to_le_bytes().into_iter().fold(0, step);
            for length in 4..=u16::MAX {
                assert_eq!(change(changed, length), register, "{changed:#x} in {length} bytes");
                register = step(register, 0);
            }
        }
    }

    proptest! {
        #[test]
        fn an_updated_crc_is_that_of_the_changed_bytes(
            head in any::<[u8; 4]>(), changed in any::<u32>(), fill in any::<u8>(), length in 4_u16..=u16::MAX, seed in any::<u64>(),
        ) {
            let mut random = seed;
            let mut bytes = vec![fill; usize::from(length)];
            for byte in &mut bytes {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte ^= random.to_be_bytes()[0];
            }
            bytes[..4].copy_from_slice(&head);
            let before = crc32c(bytes.iter().copied());
            for (byte, bits) in bytes.iter_mut().zip(changed.to_le_bytes()) {
                *byte ^= bits;
            }
            prop_assert_eq!(before ^ change(changed, length), crc32c(bytes));
        }
    }
}
