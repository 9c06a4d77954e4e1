//! Packets that go out: replies of local backends get the address that the client asked.

use super::{
    Handled, flow, fragment, icmp,
    skb::{ETHERNET, Skb},
    translate,
    wire::Wire,
};
use aya_ebpf::programs::TcContext;
use kpr_abi::{Reason, V4, V6, flow::direction};
use kpr_packet::Unparsed;

/// Handles a packet that goes out by an external device.
#[inline(always)]
pub fn try_egress(ctx: &TcContext) -> Result<Handled, Reason> {
    let skb = Skb(ctx);
    if skb.is::<V4>() {
        handle::<V4>(ctx)
    } else if skb.is::<V6>() {
        handle::<V6>(ctx)
    } else {
        Ok(Handled::NotOurs)
    }
}

#[inline(always)]
fn handle<F: Wire>(ctx: &TcContext) -> Result<Handled, Reason> {
    let skb = Skb(ctx);
    skb.make_headers_linear();
    let mut parsed = match F::parse(&skb, ETHERNET) {
        Ok(parsed) => parsed,
        Err(Unparsed::Icmp) => return icmp::egress::<F>(ctx),
        Err(_) => return Ok(Handled::NotOurs),
    };
    if !fragment::track::<F>(&mut parsed)? {
        return Ok(Handled::NotOurs);
    }
    parsed.key.direction = direction::REPLY;
    match flow::lookup::<F>(&parsed.key, parsed.tcp_flags) {
        // It already leaves by the device that leads to the client.
        Some(value) if !flow::is_forwarded(&value) => translate::pass::<F>(ctx, &parsed, &value),
        _ => Ok(Handled::NotOurs),
    }
}
