//! The way out of a flow's packets, remembered for a moment.

use core::mem::transmute;

use crate::layout::layout;

/// By which device, and to which neighbour, packets of a flow leave. All zero: it is not known, and the route is to be asked for.
///
/// Programs read and write each half as one word, so that an address is never half of one and half of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, align(8))]
pub struct Way {
    /// Hardware address of the next hop, by twos as it stands in a frame.
    pub to: [u16; 3],
    /// The longest packet that may go, from its network header on.
    pub mtu: u16,
    /// Hardware address of the device.
    pub from: [u16; 3],
    /// Interface index of the device.
    pub ifindex: u16,
}

impl Way {
    /// Whether there is one.
    #[inline(always)]
    pub const fn is_known(&self) -> bool {
        self.to[0] | self.to[1] | self.to[2] != 0 && self.ifindex != 0
    }

    /// Its halves.
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        // SAFETY: integers without padding, of the same size and alignment.
        unsafe { transmute(self) }
    }
}

layout!(Way, size 16, align 8, fields [[u16; 3], u16, [u16; 3], u16]);

#[cfg(test)]
mod tests {
    use super::Way;

    #[test]
    fn half_a_way_is_none() {
        let way = Way {
            to: [2, 0, 1],
            mtu: 1500,
            from: [2, 0, 2],
            ifindex: 4,
        };
        assert!(way.is_known());
        assert!(
            !Way { to: [0; 3], ..way }.is_known(),
            "forgotten: the half that is written first"
        );
        assert!(!Way { ifindex: 0, ..way }.is_known());
        assert_eq!(
            Way {
                to: [0; 3],
                mtu: 0,
                ..way
            }
            .words()[0],
            0
        );
    }
}
