//! What comes before each run of a program: programs leave the packet changed, and the next run would see another packet.

use crate::{
    maps::{CURSOR, PACKETS, TARGET, Template, XDP_TARGET},
    packet, xdp,
};
use aya_ebpf::{
    bindings::{TC_ACT_STOLEN, xdp_action::XDP_ABORTED},
    programs::{TcContext, XdpContext},
};

/// How much of a packet is made what it was: Ethernet, IPv4 without options, TCP without options.
pub const HEADERS: usize = 14 + 20 + 20;

/// Makes the packet the next one of [`PACKETS`] and jumps to the program. Returns only if something is not there: with a verdict that
/// no measured program has.
#[inline(always)]
pub fn start(ctx: &TcContext) -> i32 {
    if let Some(template) = next() {
        restore(packet::head::<HEADERS>(ctx), template);
        // SAFETY: nothing of this program is needed after the jump.
        unsafe { TARGET.tail_call(ctx, 0) };
    }
    TC_ACT_STOLEN
}

/// The same in XDP.
#[inline(always)]
pub fn start_xdp(ctx: &XdpContext) -> u32 {
    if let Some(template) = next() {
        restore(xdp::head::<HEADERS>(ctx), template);
        // SAFETY: nothing of this program is needed after the jump.
        unsafe { XDP_TARGET.tail_call(ctx, 0) };
    }
    XDP_ABORTED
}

/// The next packet's headers.
#[inline(always)]
pub fn next() -> Option<&'static Template> {
    let cursor = CURSOR.get_ptr_mut(0)?;
    // SAFETY: a map value that was just looked up; measurements run one at a time.
    let index = unsafe {
        let index = (*cursor).next;
        (*cursor).next = if index + 1 < (*cursor).count { index + 1 } else { 0 };
        (*cursor).runs += 1;
        index
    };
    PACKETS.get(index)
}

/// Writes a packet's headers over its first bytes.
#[inline(always)]
pub fn restore(head: Option<*mut u8>, template: &Template) {
    const WORDS: usize = HEADERS / 8;
    let Some(start) = head else {
        return;
    };
    let mut word = 0;
    while word < WORDS {
        // SAFETY: inside the checked bytes; eBPF's stores need no alignment in packets.
        unsafe { *start.add(word * 8).cast() = template[word] };
        word += 1;
    }
    let rest = template[WORDS];
    // SAFETY: as above.
    unsafe {
        *start.add(WORDS * 8).cast() = rest as u32;
        *start.add(WORDS * 8 + 4).cast() = (rest >> 32) as u16;
    }
}
