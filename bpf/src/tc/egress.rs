//! Packets that go out: replies of local backends get the address that the client asked.

use super::{Handled, flow, fragment, skb::Skb, translate, wire::Wire};
use crate::{events, service_counts};
use aya_ebpf::programs::TcContext;
use kpr_abi::{FlowValue, Reason, flow::direction};
use kpr_packet::{Parsed, Unparsed};

/// Handles a packet of the family that goes out by an external device.
#[inline(always)]
pub fn handle<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    if let Some(handled) = parse::<F>(ctx, l3, &mut parsed)? {
        return Ok(handled);
    }
    match flow::lookup_answer::<F>(&parsed.key, parsed.signals) {
        Some(value) if !flow::is_passed(&value) => Ok(Handled::NotOurs),
        Some(value) if came_by_another(ctx, &value) => Ok(Handled::Detours),
        Some(value) => {
            events::flow(&parsed.key, &value);
            service_counts::packet::<F>(&parsed.key, &value, false, || Skb(ctx).size(parsed.l3));
            translate::pass::<F>(ctx, &parsed, &value)
        }
        None => Ok(Handled::NotOurs),
    }
}

/// An answer that leaves by another device than its request came in by.
///
/// Routing has chosen that device for a packet of the pod. The answer goes where the node's own answer would, under the address
/// that the client asked: routing rules may send the pod's packets elsewhere (as the AWS VPC CNI's do), where nobody takes them
/// under that address.
#[inline(always)]
pub fn detour<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    if let Some(handled) = parse::<F>(ctx, l3, &mut parsed)? {
        return Ok(handled);
    }
    let Some(value) = flow::peek::<F>(&parsed.key) else {
        return Ok(Handled::NotOurs);
    };
    events::flow(&parsed.key, &value);
    service_counts::packet::<F>(&parsed.key, &value, false, || Skb(ctx).size(parsed.l3));
    if let Ok(route) = F::route(ctx, parsed.key.proto, parsed.class, &value)
        && route.ifindex != Skb(ctx).ifindex()
    {
        events::leaves(route.ifindex);
        return translate::leave::<F>(ctx, &parsed, &value, route);
    }
    translate::pass::<F>(ctx, &parsed, &value)
}

/// Whether the flow's first packet came in by another device than this packet leaves by.
#[inline(always)]
pub fn came_by_another<A>(ctx: &TcContext, value: &FlowValue<A>) -> bool {
    value.device != 0 && u32::from(value.device) != Skb(ctx).ifindex()
}

/// Reads a packet's headers; what it is, if it is nothing to look up.
#[inline(always)]
fn parse<F: Wire>(ctx: &TcContext, l3: usize, parsed: &mut Parsed<F::Addr>) -> Result<Option<Handled>, Reason> {
    let skb = Skb(ctx);
    skb.make_headers_linear();
    match F::parse(&skb, l3, parsed) {
        Ok(()) => {}
        Err(Unparsed::Icmp) => return Ok(Some(Handled::Icmp)),
        Err(_) => return Ok(Some(Handled::NotOurs)),
    }
    events::tuple(&parsed.key);
    if !fragment::track::<F>(parsed)? {
        return Ok(Some(Handled::NotOurs));
    }
    parsed.key.direction = direction::REPLY;
    Ok(None)
}
