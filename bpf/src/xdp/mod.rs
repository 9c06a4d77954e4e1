//! North-south before there is a socket buffer: packets of flows with remote backends, which come in by an external device and leave by
//! one. What is not finished here goes up as it came, and the tc programs do the same from the same state.
//!
//! | goes up | because |
//! |---|---|
//! | what is no service's, and what begins a flow | the stack's, or for tc's programs to begin |
//! | flows with local backends | the stack and the CNI's hooks see their packets |
//! | fragments, ICMP, options, extension headers, SCTP, VLAN tags | rare, and long to handle |
//! | a packet that ends here (time to live), or is too long for its way | tc counts it, or has it cut |
//! | no route, no neighbour yet, a way out without an XDP program | the stack finds it |
//! | a checksum that is left to a network card | only the kernel's helpers for socket buffers know that |
//! | a frame for another machine | the stack drops it |

mod forward;
mod frame;
mod leave;

use crate::{counters, events, headers::Headers};
use aya_ebpf::{bindings::xdp_action::XDP_PASS, programs::XdpContext};
use frame::Frame;
use kpr_abi::{Reason, V4, V6, event::hook};

/// Sends a frame on its way, or lets it go up unchanged: the verdict.
#[inline(always)]
pub fn accelerate(ctx: &XdpContext) -> u32 {
    let frame = Frame(ctx);
    events::began(hook::XDP, || frame.ifindex());
    let Some(ethertype) = frame.ethertype() else {
        return XDP_PASS;
    };
    let sent = if ethertype == V4::ETHERTYPE {
        forward::handle::<V4>(&frame)
    } else if ethertype == V6::ETHERTYPE {
        forward::handle::<V6>(&frame)
    } else {
        None
    };
    match sent {
        Some(verdict) => {
            counters::count_packet(Reason::XdpForwarded);
            verdict
        }
        None => XDP_PASS,
    }
}
