//! What XDP programs know of devices.

use crate::layout::layout;

/// How many devices may have an XDP program.
pub const DEVICES: u32 = 256;

/// A hardware address of Ethernet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct HardwareAddress {
    /// Its bytes by twos, as they stand in a frame.
    pub halves: [u16; 3],
    /// Always 0.
    pub zero: u16,
}

impl From<[u8; 6]> for HardwareAddress {
    #[inline(always)]
    fn from(bytes: [u8; 6]) -> Self {
        let half = |first: usize| u16::from_ne_bytes([bytes[first], bytes[first + 1]]);
        Self {
            halves: [half(0), half(2), half(4)],
            zero: 0,
        }
    }
}

layout!(HardwareAddress, size 8, align 2, fields [[u16; 3], u16]);
