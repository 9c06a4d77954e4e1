//! A packet of a flow that is known.

use crate::{
    maps::FLOWS,
    packet::{self, Skb},
    route,
};
use aya_ebpf::{
    bindings::{BPF_F_PSEUDO_HDR, TC_ACT_UNSPEC},
    helpers::bpf_l4_csum_replace,
    programs::TcContext,
};
use kpr_abi::{Addr4, FlowValue, Reason, flow::action};
use kpr_packet::{Parsed, checksum::Change, ipv4};

/// Offset of TCP's checksum in its header.
const CHECKSUM: usize = 16;

/// Finds the flow of a packet of this direction, and translates it.
#[inline(always)]
pub fn established(ctx: &TcContext, direction: u8) -> Result<i32, Reason> {
    let mut parsed = packet::parse(ctx)?;
    parsed.key.direction = direction;
    let value = FLOWS.get_ptr(parsed.key).ok_or(Reason::PassMidFlow)?;
    // SAFETY: a map value that was just looked up.
    let value = unsafe { *value };
    if value.action == action::FORWARD {
        forward(ctx, &parsed, &value)
    } else {
        rewrite(ctx, &parsed, &value, false)?;
        Ok(TC_ACT_UNSPEC)
    }
}

/// Translates a packet, and sends it out.
#[inline(always)]
pub fn forward(ctx: &TcContext, parsed: &Parsed<Addr4>, value: &FlowValue<Addr4>) -> Result<i32, Reason> {
    if parsed.hops <= 1 {
        return Err(Reason::DropTtl);
    }
    let route = route::lookup(ctx, parsed.key.proto, value)?;
    rewrite(ctx, parsed, value, true)?;
    Ok(route.redirect())
}

#[inline(always)]
fn rewrite(ctx: &TcContext, parsed: &Parsed<Addr4>, to: &FlowValue<Addr4>, hop: bool) -> Result<(), Reason> {
    let change = ipv4::rewrite(&Skb(ctx), parsed, to, hop).ok_or(Reason::DropRewriteFailed)?;
    replace(ctx, parsed, change.pseudo, u64::from(BPF_F_PSEUDO_HDR))?;
    replace(ctx, parsed, change.ports, 0)
}

#[inline(always)]
fn replace(ctx: &TcContext, parsed: &Parsed<Addr4>, change: Change, flags: u64) -> Result<(), Reason> {
    let at = (parsed.l4 + CHECKSUM) as u32;
    // SAFETY: the helper checks the offset against the packet.
    if unsafe { bpf_l4_csum_replace(ctx.skb.skb, at, 0, u64::from(change.sum()), flags) } == 0 {
        Ok(())
    } else {
        Err(Reason::DropRewriteFailed)
    }
}
