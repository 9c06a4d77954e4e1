//! Ethernet headers.

use crate::Window;

/// Length of one without a VLAN tag.
pub const HEADER: usize = 14;

/// Writes the hardware addresses, by twos as they stand in a frame, of whom it is for and of whom it comes from.
#[inline(always)]
pub fn address(link: Window<HEADER>, to: [u16; 3], from: [u16; 3]) {
    link.set_u16::<0>(to[0]);
    link.set_u16::<2>(to[1]);
    link.set_u16::<4>(to[2]);
    link.set_u16::<6>(from[0]);
    link.set_u16::<8>(from[1]);
    link.set_u16::<10>(from[2]);
}
