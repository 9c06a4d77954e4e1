//! Which frontends there may be: one bit for each hash of a key. A packet that is for no frontend mostly costs one read of an array,
//! and no look-up in a hash map: a Bloom filter of one hash function, which whoever writes frontends keeps.
//!
//! A bit too many costs a look-up, one too few would hide a frontend.

use crate::{Address, ServiceKey};

/// The logarithm of the number of bits: a tenth of them is set by 26,000 frontends. 32 KiB stay in a processor's cache, of which
/// the few destinations of a node's packets touch a few lines.
const ORDER: u32 = 18;

/// How many words the bits are in.
pub const WORDS: u32 = (1 << ORDER) / u32::BITS;

/// Index of the key's word, and its bit in that word.
#[inline(always)]
pub fn place<A: Address>(key: &ServiceKey<A>) -> (u32, u32) {
    // Two rounds of multiplicative hashing, of which the high bits are the best.
    let port = u32::from(key.port.0) << 8 | u32::from(key.proto);
    let hash = (key.addr.fold().wrapping_mul(0x9e37_79b9) ^ port).wrapping_mul(0x85eb_ca6b) >> (u32::BITS - ORDER);
    (hash / u32::BITS, 1 << (hash % u32::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Addr4, Addr6, Be16, proto};

    /// Of so many keys, how many share their bit with an earlier one.
    #[expect(clippy::large_stack_arrays, reason = "32 KiB are little for a test")]
    fn shared<A: Address>(keys: impl Iterator<Item = ServiceKey<A>>) -> usize {
        let mut bits = [0_u32; WORDS as usize];
        keys.filter(|key| {
            let (word, bit) = place(key);
            let was_set = bits[word as usize] & bit != 0;
            bits[word as usize] |= bit;
            was_set
        })
        .count()
    }

    #[test]
    fn cluster_ips_in_a_row_hardly_share_bits() {
        let v4 = (0..20_000_u32).map(|n| (Addr4((0x0a60_0000 + n / 2).to_be()), n % 2));
        let v6 = (0..20_000_u32).map(|n| (Addr6([0xfd00_u32.to_be(), 0, 0, (n / 2).to_be()]), n % 2));
        let port = |second: u32| Be16::new(if second == 0 { 80 } else { 443 });
        let by_chance = 20_000 * 20_000 / 2 / (1 << ORDER);
        let v4 = shared(v4.map(|(addr, second)| ServiceKey::new(addr, port(second), proto::TCP)));
        assert!(v4 < by_chance * 3 / 2, "{v4}");
        let v6 = shared(v6.map(|(addr, second)| ServiceKey::new(addr, port(second), proto::TCP)));
        assert!(v6 < by_chance * 3 / 2, "{v6}");
    }

    #[test]
    fn ports_and_protocols_of_one_address_hardly_share_bits() {
        let keys = (0..20_000_u16).map(|n| {
            let proto = if n % 2 == 0 { proto::TCP } else { proto::UDP };
            ServiceKey::new(Addr4::ANY, Be16::new(1_024 + n / 2), proto)
        });
        let found = shared(keys);
        assert!(found < 1_500, "{found}");
    }
}
