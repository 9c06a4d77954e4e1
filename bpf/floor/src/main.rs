//! What kpr's packet programs are measured against: programs that do what any program in their place has to, and nothing more.
//! They know one family, one protocol and no options, fragments or errors.
//!
//! | program | does |
//! |---|---|
//! | `start` | makes the packet what it was, and jumps to the program that is measured |
//! | `floor_empty` | nothing: what `start` and the measurement itself cost |
//! | `floor_miss` | parses, and finds no frontend: one look-up in a hash |
//! | `floor_forward` | parses, finds the flow (one look-up in a hash), writes addresses, ports and time to live, has the kernel fix the transport checksum, looks up the route and redirects to the next hop; a flow to a local backend goes on instead |
//! | `floor_reply` | the same for packets that answer |
//! | `floor_udp` | as `floor_forward`, of UDP |
//! | `floor_bare` | as `floor_udp`, but knows the link header: it asks for no route, and redirects as it is |
//! | `start_xdp`, `floor_xdp_empty`, `floor_xdp_miss` | the same in XDP |
//! | `floor_xdp_fwd`, `floor_xdp_reply` | as `floor_forward` and `floor_reply`; the program fixes the transport checksum and writes the link header itself, and sends the packet out by the device that it came in by |
//! | `floor_xdp_udp` | as `floor_xdp_fwd`, of UDP |
//! | `floor_xdp_bare` | as `floor_xdp_udp`, but knows the link header: it asks for no route |
//! | `generate`, `sink` | the other end of the node's cable, in XDP: sends the node packets, and counts what it sends on |
//! | `floor_begin` | parses, finds the frontend (one look-up in a hash), draws a backend and a source port, makes both entries of the flow, and does what `floor_forward` does |
#![no_std]
#![no_main]

mod begin;
mod maps;
mod packet;
mod route;
mod start;
mod translate;
mod wire;
mod xdp;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action::XDP_PASS},
    macros::{classifier, xdp as xdp_program},
    programs::{TcContext, XdpContext},
};
use kpr_abi::{Reason, ServiceKey, flow::direction};

/// Makes the packet what it was, and jumps to the program that is measured.
#[classifier]
pub fn start(ctx: TcContext) -> i32 {
    start::start(&ctx)
}

/// Nothing.
#[classifier]
pub fn floor_empty(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// A packet that is no frontend's.
#[classifier]
pub fn floor_miss(ctx: TcContext) -> i32 {
    let Ok(parsed) = packet::parse(&ctx) else {
        return TC_ACT_SHOT;
    };
    let key = ServiceKey::new(parsed.key.dst, parsed.key.dport, parsed.key.proto);
    if maps::FRONTENDS.get_ptr(key).is_some() {
        TC_ACT_SHOT
    } else {
        TC_ACT_UNSPEC
    }
}

/// A packet of a flow that is known.
#[classifier]
pub fn floor_forward(ctx: TcContext) -> i32 {
    verdict(translate::established::<{ xdp::TCP }>(&ctx, direction::FORWARD))
}

/// A packet that answers one.
#[classifier]
pub fn floor_reply(ctx: TcContext) -> i32 {
    verdict(translate::established::<{ xdp::TCP }>(&ctx, direction::REPLY))
}

/// A datagram of a flow that is known.
#[classifier]
pub fn floor_udp(ctx: TcContext) -> i32 {
    verdict(translate::established::<{ xdp::UDP }>(&ctx, direction::FORWARD))
}

/// The same, without a question for the way out.
#[classifier]
pub fn floor_bare(ctx: TcContext) -> i32 {
    verdict(translate::bare::<{ xdp::UDP }>(&ctx, direction::FORWARD))
}

/// The first packet of a flow to a remote backend.
#[classifier]
pub fn floor_begin(ctx: TcContext) -> i32 {
    verdict(begin::begin(&ctx))
}

/// Makes the packet what it was, and jumps to the program of XDP that is measured.
#[xdp_program]
pub fn start_xdp(ctx: XdpContext) -> u32 {
    start::start_xdp(&ctx)
}

/// Nothing.
#[xdp_program]
pub fn floor_xdp_empty(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// A packet that is no frontend's.
#[xdp_program]
pub fn floor_xdp_miss(ctx: XdpContext) -> u32 {
    xdp::miss(&ctx)
}

/// A packet of a flow that is known.
#[xdp_program]
pub fn floor_xdp_fwd(ctx: XdpContext) -> u32 {
    xdp::established::<{ xdp::TCP }>(&ctx, direction::FORWARD)
}

/// A packet that answers one.
#[xdp_program]
pub fn floor_xdp_reply(ctx: XdpContext) -> u32 {
    xdp::established::<{ xdp::TCP }>(&ctx, direction::REPLY)
}

/// A datagram of a flow that is known.
#[xdp_program]
pub fn floor_xdp_udp(ctx: XdpContext) -> u32 {
    xdp::established::<{ xdp::UDP }>(&ctx, direction::FORWARD)
}

/// The same, without a question for the way out.
#[xdp_program]
pub fn floor_xdp_bare(ctx: XdpContext) -> u32 {
    xdp::bare::<{ xdp::UDP }>(&ctx, direction::FORWARD)
}

/// Makes the frame the next packet, and sends it to the node.
#[xdp_program]
pub fn generate(ctx: XdpContext) -> u32 {
    wire::generate(&ctx)
}

/// Counts what the node sends on.
#[xdp_program]
pub fn sink(ctx: XdpContext) -> u32 {
    wire::sink(&ctx)
}

#[inline(always)]
fn verdict(outcome: Result<i32, Reason>) -> i32 {
    outcome.unwrap_or(TC_ACT_SHOT)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses an endless loop: a reachable panic is found when the programs are loaded.
    loop {}
}
