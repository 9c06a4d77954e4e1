//! Packets that go out: replies of local backends get the address that the client asked.

use super::{Handled, flow, fragment, skb::Skb, translate, wire::Wire};
use aya_ebpf::programs::TcContext;
use kpr_abi::{Reason, flow::direction};
use kpr_packet::{Parsed, Unparsed};

/// Handles a packet of the family that goes out by an external device.
#[inline(always)]
pub fn handle<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let skb = Skb(ctx);
    skb.make_headers_linear();
    let mut parsed = Parsed::default();
    match F::parse(&skb, l3, &mut parsed) {
        Ok(()) => {}
        Err(Unparsed::Icmp) => return Ok(Handled::Icmp),
        Err(_) => return Ok(Handled::NotOurs),
    }
    if !fragment::track::<F>(&mut parsed)? {
        return Ok(Handled::NotOurs);
    }
    parsed.key.direction = direction::REPLY;
    match flow::lookup::<F>(&parsed.key, parsed.signals) {
        // It already leaves by the device that leads to the client.
        Some(value) if flow::is_passed(&value) => translate::pass::<F>(ctx, &parsed, &value),
        _ => Ok(Handled::NotOurs),
    }
}
