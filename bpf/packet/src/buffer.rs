//! Packets in memory, for tests.

extern crate std;
use crate::{Packet, Window};
use std::{cell::UnsafeCell, vec::Vec};

/// A packet in a buffer of exactly its length: reading behind its end is refused as in the kernel.
pub(crate) struct Buffer(UnsafeCell<Vec<u8>>);

impl Buffer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(UnsafeCell::new(bytes))
    }

    pub(crate) fn bytes(&mut self) -> &[u8] {
        self.0.get_mut()
    }
}

impl Packet for Buffer {
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>> {
        // SAFETY: one thread, and no other reference while a window is in use.
        let bytes = unsafe { &mut *self.0.get() };
        let window = bytes.get_mut(offset..offset.checked_add(N)?)?;
        // SAFETY: `N` bytes inside the buffer, which outlives the test's windows.
        Some(unsafe { Window::new(window.as_mut_ptr()) })
    }
}

/// The one's complement sum of 16-bit words, in memory order.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
