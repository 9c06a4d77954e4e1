//! The other end of the node's cable: where its packets come from, and where they end.

use crate::{
    maps::{BACKEND_ADDRESS, BACKEND_PORT, DEVICE, NODE_ADDRESS, SINK},
    start::{HEADERS, next, restore},
    xdp::{self, ETHERNET, Frame},
};
use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
    helpers::bpf_redirect,
    programs::XdpContext,
};
use kpr_abi::proto;
use kpr_packet::{Packet, Window};

/// Makes the frame the next packet, and sends it to the node. The kernel uses frames again as they have become on their way.
#[inline(always)]
pub fn generate(ctx: &XdpContext) -> u32 {
    let Some(template) = next() else {
        return XDP_ABORTED;
    };
    restore(xdp::head::<HEADERS>(ctx), template);
    // SAFETY: a helper without pointers.
    let verdict = unsafe { bpf_redirect(DEVICE.load(), 0) };
    verdict.cast_unsigned() as u32
}

/// Ends datagrams that the node sends to the backend under its own address, and counts them, if it is open. Everything else passes.
#[inline(always)]
pub fn sink(ctx: &XdpContext) -> u32 {
    let Some(sink) = SINK.get_ptr_mut(0) else {
        return XDP_ABORTED;
    };
    // SAFETY: a map value that was just looked up; measurements run one at a time.
    if unsafe { (*sink).open } == 0 || is_to_backend(ctx).is_none() {
        return XDP_PASS;
    }
    // SAFETY: as above.
    unsafe {
        (*sink).ended += 1;
        if (*sink).keeps != 0
            && let Some(head) = xdp::head::<HEADERS>(ctx)
        {
            let mut half = 0;
            let last: *mut u16 = (&raw mut (*sink).last).cast();
            while half < HEADERS / 2 {
                let bytes = [head.add(2 * half).read(), head.add(2 * half + 1).read()];
                last.add(half).write(u16::from_ne_bytes(bytes));
                half += 1;
            }
        }
    }
    XDP_DROP
}

#[inline(always)]
fn is_to_backend(ctx: &XdpContext) -> Option<()> {
    /// Offsets in an IPv4 header without options, and in a UDP header.
    const PROTOCOL: usize = 9;
    const TRANSPORT: usize = 20;
    let headers: Window<{ HEADERS - ETHERNET }> = Frame(ctx).window(ETHERNET)?;
    (headers.u8::<0>() == 0x45
        && headers.u8::<PROTOCOL>() == proto::UDP
        && headers.u32::<12>() == NODE_ADDRESS.load()
        && headers.u32::<16>() == BACKEND_ADDRESS.load()
        && headers.u16::<{ TRANSPORT + 2 }>() == BACKEND_PORT.load())
    .then_some(())
}
