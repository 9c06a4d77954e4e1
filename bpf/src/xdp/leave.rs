//! The way out of a frame: by the device that it came in by, or by another one that XDP may use.

use super::frame::Frame;
use crate::{
    events,
    fib::{self, FibParams},
    maps::{XDP_ADDRESSES, XDP_DEVICES},
};
use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_TX};
use kpr_abi::{Way, xdp::HardwareAddress};

/// A way out, and the verdict that sends a frame there.
pub struct Leave {
    /// The verdict.
    pub verdict: u32,
    /// The way.
    pub way: Way,
}

/// Finds the way of a packet that is so long from its network header on. `None`: it is not for this program to send.
#[inline(always)]
pub fn find(frame: &Frame, mut params: FibParams, length: u16) -> Option<Leave> {
    // What is longer than the way allows is not found a way.
    params.__bindgen_anon_1.tot_len = length;
    // A neighbour that is not known yet is found by the stack.
    if fib::lookup(frame.0, &mut params) != fib::SUCCESS {
        return None;
    }
    leave(frame, fib::way(&params), params.ifindex)
}

/// The same by the way that the packet's flow remembers.
#[inline(always)]
pub fn again(frame: &Frame, way: Way, length: u16) -> Option<Leave> {
    if length > way.mtu {
        return None;
    }
    leave(frame, way, way.ifindex.into())
}

#[inline(always)]
fn leave(frame: &Frame, way: Way, ifindex: u32) -> Option<Leave> {
    let from = HardwareAddress {
        halves: way.from,
        zero: 0,
    };
    if !is_for_this_machine(frame, from) {
        return None;
    }
    events::leaves(ifindex);
    let verdict = if ifindex == frame.ifindex() {
        XDP_TX
    } else {
        // Sends nothing yet: the verdict does, when the packet is translated.
        XDP_DEVICES.redirect(ifindex, u64::from(XDP_PASS)).ok()?
    };
    Some(Leave { verdict, way })
}

/// Whether the frame is for this machine, and not for another one, which a device sees that is promiscuous or whose switch does not know
/// yet where that machine is. `out`: the address of the device that the packet leaves by, which is mostly the one that it came in by.
#[inline(always)]
fn is_for_this_machine(frame: &Frame, out: HardwareAddress) -> bool {
    let Some(destination) = frame.destination() else {
        return false;
    };
    destination == out
        || XDP_ADDRESSES
            .get_ptr(frame.ifindex())
            // SAFETY: a map value that was just looked up.
            .is_some_and(|own| unsafe { *own } == destination)
}
