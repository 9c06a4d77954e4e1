//! Bob Jenkins' lookup3 (public domain), the kernel's `jhash`: a few additions, rotations and xors, the same on every machine.

/// Mixes three words with those that came before.
#[inline(always)]
pub(crate) const fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

/// Makes one word of the last three, each bit of which counts for all of its bits.
#[inline(always)]
pub(crate) const fn finish([mut a, mut b, mut c]: [u32; 3]) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hashlittle` of lookup3.c, for what is longer than no byte at all.
    fn hash(text: &[u8], seed: u32) -> u32 {
        let length = u32::try_from(text.len()).expect("short");
        let mut state = [0xdead_beef_u32.wrapping_add(length).wrapping_add(seed); 3];
        let mut blocks = text.chunks(12).peekable();
        while let Some(block) = blocks.next() {
            for (word, bytes) in state.iter_mut().zip(block.chunks(4)) {
                let mut padded = [0; 4];
                padded[..bytes.len()].copy_from_slice(bytes);
                *word = word.wrapping_add(u32::from_le_bytes(padded));
            }
            if blocks.peek().is_some() {
                state = mix(state);
            }
        }
        finish(state)
    }

    #[test]
    fn the_values_that_its_author_gives_come_out() {
        // driver5() of lookup3.c.
        assert_eq!(hash(b"Four score and seven years ago", 0), 0x1777_0551);
        assert_eq!(hash(b"Four score and seven years ago", 1), 0xcd62_8161);
    }
}
