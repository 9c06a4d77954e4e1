//! Generated names, in the style of Kubernetes' own controllers.

use std::hash::{BuildHasher as _, RandomState};

/// No vowels, so no words; no characters that look alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random characters, as `generateName` appends.
pub(super) fn suffix() -> String {
    let mut bits = RandomState::new().hash_one(());
    let mut name = String::with_capacity(5);
    for _ in 0..5 {
        name.push(letter(bits));
        bits /= ALPHABET.len() as u64;
    }
    name
}

/// What `pod-template-hash` says: the same for the same text.
pub(super) fn hash(text: &[u8]) -> String {
    // FNV-1a, 32 bits.
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.to_string().bytes().map(|digit| letter(u64::from(digit))).collect()
}

fn letter(value: u64) -> char {
    let index = usize::try_from(value % ALPHABET.len() as u64).unwrap_or_default();
    char::from(ALPHABET[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_stable_and_differs_for_another_text() {
        assert_eq!(hash(b"nginx"), hash(b"nginx"));
        assert_ne!(hash(b"nginx"), hash(b"nginx:2"));
    }

    #[test]
    fn a_suffix_has_five_safe_characters() {
        let suffix = suffix();
        assert_eq!(suffix.len(), 5);
        assert!(suffix.bytes().all(|byte| ALPHABET.contains(&byte)));
    }
}
