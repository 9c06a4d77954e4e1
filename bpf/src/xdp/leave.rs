//! The way out of a frame: by the device that it came in by, or by another one that XDP may use.

use super::frame::Frame;
use crate::{
    events,
    fib::{self, FibParams},
    maps::{XDP_ADDRESSES, XDP_DEVICES},
};
use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_TX};
use kpr_abi::xdp::HardwareAddress;

/// A way that is known to the next hop's hardware address.
pub struct Way {
    /// The verdict that sends the frame there.
    pub verdict: u32,
    /// Hardware address of the next hop.
    pub to: HardwareAddress,
    /// That of the device that it leaves by.
    pub from: HardwareAddress,
}

/// Finds the way of a packet that is so long from its network header on. `None`: it is not for this program to send.
#[inline(always)]
pub fn find(frame: &Frame, mut params: FibParams, length: u16) -> Option<Way> {
    // What is longer than the way allows is not found a way.
    params.__bindgen_anon_1.tot_len = length;
    // A neighbour that is not known yet is found by the stack.
    if fib::lookup(frame.0, &mut params) != fib::SUCCESS {
        return None;
    }
    let way = Way {
        verdict: XDP_TX,
        to: params.dmac.into(),
        from: params.smac.into(),
    };
    if !is_for_this_machine(frame, way.from) {
        return None;
    }
    events::leaves(params.ifindex);
    if params.ifindex == frame.ifindex() {
        return Some(way);
    }
    // Sends nothing yet: the verdict does, when the packet is translated.
    let verdict = XDP_DEVICES.redirect(params.ifindex, u64::from(XDP_PASS)).ok()?;
    Some(Way { verdict, ..way })
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
