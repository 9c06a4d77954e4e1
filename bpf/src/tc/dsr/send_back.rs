//! What the backend's node can't serve goes back, encapsulated as it came, and its flow gets SNAT: a client on the backend's own node,
//! whom no answer would reach by way of this node's programs; a frontend or a backend that this node does not know (yet, or any more).

use super::{Tunnel, is_external, read, strip};
use crate::{
    counters, flow,
    maps::Chosen,
    tc::{self, Handled, skb::Skb},
};
use aya_ebpf::programs::TcContext;
use kpr_abi::{
    FlowValue, Reason,
    flow::{action, state},
};
use kpr_packet::{Parsed, encap::Outer};

/// Whether an encapsulated packet, whose frontend or backend is not known here, is to go back to the node that it came from.
#[inline(always)]
pub fn send_back<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut outer = Outer::default();
    let mut parsed = Parsed::default();
    if read::<F>(ctx, l3, &mut outer, &mut parsed).is_err() {
        return Ok(Handled::NotOurs);
    }
    // To this node itself, where no such backend is: it may be one that came back, and would go to and fro.
    if F::local().get_ptr(outer.dst).is_some() {
        return Ok(Handled::NotOurs);
    }
    // On its way to another node.
    let there = FlowValue {
        src: outer.src,
        dst: outer.dst,
        ..FlowValue::default()
    };
    if let Ok(way) = F::route(ctx, parsed.key.proto, 0, &there)
        && is_external::<F>(ctx, way.ifindex)
    {
        return Ok(Handled::NotOurs);
    }
    // In the middle of a connection, SNAT comes too late.
    if !flow::is_first(parsed.signals) {
        return Err(Reason::DropDsrUnknown);
    }
    Ok(Handled::TurnsBack)
}

/// Sends an encapsulated packet back to the node that it came from.
#[inline(always)]
pub fn turn_back<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut outer = Outer::default();
    if F::read_outer(&Skb(ctx), l3, &mut outer).is_err() {
        return Ok(Handled::NotOurs);
    }
    let back = FlowValue {
        src: outer.dst,
        dst: outer.src,
        ..FlowValue::default()
    };
    let way = F::route(ctx, F::IPIP, 0, &back)?;
    F::turn(&Skb(ctx), l3, &outer).ok_or(Reason::DropRewriteFailed)?;
    counters::count_packet(Reason::DsrSentBack);
    Ok(Handled::Redirected(way.redirect(ctx, l3)?))
}

/// Takes a packet that this node had encapsulated and that came back, and leaves its flow to [`crate::tc::ingress::establish`], with
/// SNAT: it is not known to the backend yet.
#[inline(always)]
pub fn again<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut outer = Outer::default();
    let mut parsed = Parsed::default();
    if read::<F>(ctx, l3, &mut outer, &mut parsed).is_err() {
        return Ok(Handled::NotOurs);
    }
    let value = flow::peek::<F>(&parsed.key).ok_or(Reason::DropDsrUnknown)?;
    let is_its_first = value.state & state::PAST_SYN == 0 && flow::is_first(parsed.signals);
    if !flow::is_tunnelled(&value) || !is_its_first {
        return Err(Reason::DropDsrUnknown);
    }
    flow::remove::<F>(&parsed.key, &value);
    tc::keep::<F>(Chosen {
        key: parsed.key,
        value: FlowValue {
            src: parsed.key.src,
            sport: parsed.key.sport,
            action: action::FORWARD,
            ..value
        },
        service_flags: 0,
        backend_flags: 0,
        class: parsed.class.into(),
        length: 0,
    })?;
    strip::<F>(ctx, outer.dispatch)?;
    Ok(Handled::Chosen)
}
