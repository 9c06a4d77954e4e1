//! Packets that go out: replies of local backends get the address that the client asked.

use super::{
    Handled, flow,
    skb::{ETHERNET, Skb},
    translate,
};
use aya_ebpf::programs::TcContext;
use kpr_abi::{Reason, V4, flow::direction};
use kpr_packet::ipv4;

/// Handles a packet that goes out by an external device.
#[inline(always)]
pub fn try_egress(ctx: &TcContext) -> Result<Handled, Reason> {
    let skb = Skb(ctx);
    if !skb.is_ipv4() {
        return Ok(Handled::NotOurs);
    }
    skb.make_headers_linear();
    let Ok(mut parsed) = ipv4::parse(&skb, ETHERNET) else {
        return Ok(Handled::NotOurs);
    };
    parsed.key.direction = direction::REPLY;
    match flow::lookup::<V4>(&parsed.key, parsed.tcp_flags) {
        // It already leaves by the device that leads to the client.
        Some(value) if !flow::is_forwarded(&value) => translate::pass4(ctx, &parsed, &value),
        _ => Ok(Handled::NotOurs),
    }
}
