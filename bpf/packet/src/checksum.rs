//! Incremental update of Internet checksums (RFC 1071, RFC 1624).
//!
//! A change of a packet is a [`Change`]: the one's complement sum of "old words out, new words in", in the packet's own byte
//! order, as the kernel's `__wsum` is.

/// How some words of a packet changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(u64);

impl Change {
    /// No change.
    pub const NONE: Self = Self(0);

    /// Four bytes at an even offset changed from `old` to `new`.
    #[inline(always)]
    pub const fn word(self, old: u32, new: u32) -> Self {
        // At most a handful of words: 64 bits can't overflow.
        Self(self.0 + !old as u64 + new as u64)
    }

    /// Two bytes at an even offset changed from `old` to `new`.
    #[inline(always)]
    pub const fn half(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// The checksum of what was added to [`NONE`](Self::NONE).
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        self.apply(0xffff)
    }

    /// Four bytes, or two in their place in memory, came on top.
    #[inline(always)]
    pub const fn more(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// This change and another one.
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// As a 32-bit partial sum, which `bpf_l4_csum_replace` takes as its `to` argument when the size in its flags is 0.
    #[inline(always)]
    pub const fn sum(self) -> u32 {
        let once = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        #[expect(clippy::cast_possible_truncation, reason = "the carry was added in")]
        {
            ((once & 0xffff_ffff) + (once >> 32)) as u32
        }
    }

    /// The checksum of a packet whose checksum was `old` before this change (RFC 1624, equation 3).
    #[inline(always)]
    pub const fn apply(self, old: u16) -> u16 {
        let mut sum = (!old) as u64 + self.sum() as u64;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        #[expect(clippy::cast_possible_truncation, reason = "both carries were added in")]
        {
            !(sum as u16)
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Change;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// RFC 1071's definition, over 16-bit words in memory order.
    fn full(words: &[u16]) -> u16 {
        let mut sum: u32 = words.iter().map(|&w| u32::from(w)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn rfc_1624_section_4_example_gives_0x0000() {
        // "HC' = ~(~0xDD2F + ~0x5555 + 0x3285) = 0x0000".
        assert_eq!(Change::NONE.half(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    proptest! {
        #[test]
        fn an_incremental_update_verifies_like_a_full_sum(
            mut words in proptest::collection::vec(any::<u16>(), 4..32),
            old_at in 0_usize..4, new in any::<u32>(), half in any::<u16>(),
        ) {
            // A real header always has a non-zero word (its version).
            words[3] |= 1;
            let before = full(&words);
            let at = old_at & !1;
            let old = u32::from(words[at]) | u32::from(words[at + 1]) << 16;
            let old_half = words[2];
            let mut changed: Vec<u16> = words.clone();
            changed[at] = (new & 0xffff) as u16;
            changed[at + 1] = (new >> 16) as u16;
            let mut change = Change::NONE.word(old, new);
            if at != 2 {
                changed[2] = half;
                change = change.half(old_half, half);
            }
            let updated = change.apply(before);
            // The sum over the data and its checksum is all ones (or the data is all zero), whichever way it was computed.
            changed.push(updated);
            let verify = full(&changed);
            prop_assert!(verify == 0 || changed[..changed.len() - 1].iter().all(|&w| w == 0));
        }
    }
}
