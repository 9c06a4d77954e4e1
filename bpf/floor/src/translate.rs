//! A packet of a flow that is known.

use crate::{
    maps::{FLOWS, LINK_HEADER},
    packet::{self, Skb},
    route,
    xdp::UDP,
};
use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_UNSPEC},
    helpers::{bpf_l4_csum_replace, bpf_redirect},
    programs::TcContext,
};
use kpr_abi::{Addr4, FlowValue, Reason, flow::action};
use kpr_packet::{Packet, Parsed, checksum::Change, ethernet, ipv4};

/// Finds the flow of a packet of this direction and transport protocol, and translates it.
#[inline(always)]
pub fn established<const PROTOCOL: usize>(ctx: &TcContext, direction: u8) -> Result<i32, Reason> {
    let (parsed, value) = find(ctx, direction)?;
    if value.action == action::FORWARD {
        forward::<PROTOCOL>(ctx, &parsed, &value)
    } else {
        rewrite::<PROTOCOL>(ctx, &parsed, &value, false)?;
        Ok(TC_ACT_UNSPEC)
    }
}

/// The same for a flow to a remote backend, whose next hop is known without asking.
#[inline(always)]
pub fn bare<const PROTOCOL: usize>(ctx: &TcContext, direction: u8) -> Result<i32, Reason> {
    let (parsed, value) = find(ctx, direction)?;
    if parsed.hops <= 1 {
        return Err(Reason::DropTtl);
    }
    let ifindex = route::device(ctx);
    rewrite::<PROTOCOL>(ctx, &parsed, &value, true)?;
    // The checksum's helper has moved nothing, but the verifier does not know that.
    let link = Skb(ctx).window(0).ok_or(Reason::DropRewriteFailed)?;
    let halves = LINK_HEADER.load();
    ethernet::address(
        link,
        [halves[0], halves[1], halves[2]],
        [halves[3], halves[4], halves[5]],
    );
    // SAFETY: a helper without pointers.
    Ok(unsafe { bpf_redirect(ifindex, 0) } as i32)
}

/// Finds the flow of a packet of this direction.
#[inline(always)]
fn find(ctx: &TcContext, direction: u8) -> Result<(Parsed<Addr4>, FlowValue<Addr4>), Reason> {
    let mut parsed = packet::parse(ctx)?;
    parsed.key.direction = direction;
    let value = FLOWS.get_ptr(parsed.key).ok_or(Reason::PassMidFlow)?;
    // SAFETY: a map value that was just looked up.
    let value = unsafe { *value };
    Ok((parsed, value))
}

/// Translates a packet, and sends it out.
#[inline(always)]
pub fn forward<const PROTOCOL: usize>(
    ctx: &TcContext,
    parsed: &Parsed<Addr4>,
    value: &FlowValue<Addr4>,
) -> Result<i32, Reason> {
    if parsed.hops <= 1 {
        return Err(Reason::DropTtl);
    }
    let route = route::lookup(ctx, parsed.key.proto, value)?;
    rewrite::<PROTOCOL>(ctx, parsed, value, true)?;
    Ok(route.redirect())
}

#[inline(always)]
fn rewrite<const PROTOCOL: usize>(
    ctx: &TcContext,
    parsed: &Parsed<Addr4>,
    to: &FlowValue<Addr4>,
    hop: bool,
) -> Result<(), Reason> {
    let change = ipv4::rewrite(&Skb(ctx), parsed, to, hop).ok_or(Reason::DropRewriteFailed)?;
    let at = (parsed.l4 + PROTOCOL) as u32;
    let flags = if PROTOCOL == UDP {
        u64::from(BPF_F_MARK_MANGLED_0)
    } else {
        0
    };
    replace(ctx, at, change.pseudo, flags | u64::from(BPF_F_PSEUDO_HDR))?;
    replace(ctx, at, change.ports, flags)
}

#[inline(always)]
fn replace(ctx: &TcContext, at: u32, change: Change, flags: u64) -> Result<(), Reason> {
    // SAFETY: the helper checks the offset against the packet.
    if unsafe { bpf_l4_csum_replace(ctx.skb.skb, at, 0, u64::from(change.sum()), flags) } == 0 {
        Ok(())
    } else {
        Err(Reason::DropRewriteFailed)
    }
}
