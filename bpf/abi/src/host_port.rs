//! Ports that hostPorts have on any address of the node: one bit for each port, so that a packet to another port costs no
//! look-up in a hash.

/// Words of the bit map.
pub const WORDS: u32 = 65_536 / u64::BITS;

/// Index of the port's word, and its bit in that word. `port` is in the machine's byte order.
#[inline(always)]
pub const fn place(port: u16) -> (u32, u64) {
    ((port >> 6) as u32, 1 << (port & 63))
}

const _: () = {
    let (word, bit) = place(u16::MAX);
    assert!(word == WORDS - 1 && bit == 1 << 63);
};
