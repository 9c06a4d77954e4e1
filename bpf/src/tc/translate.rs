//! Writes a flow's translation into its packet.

use super::{Handled, route::Route, sctp, skb::Skb, wire::Wire};
use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::bpf_l4_csum_replace,
    programs::TcContext,
};
use kpr_abi::{FlowValue, Reason, proto};
use kpr_packet::{Parsed, Part, checksum::Change};

/// Translates a packet that goes on through the stack.
#[inline(always)]
pub fn pass<F: Wire>(ctx: &TcContext, parsed: &Parsed<F::Addr>, to: &FlowValue<F::Addr>) -> Result<Handled, Reason> {
    rewrite::<F>(ctx, parsed, to, false)?;
    Ok(Handled::Translated)
}

/// Translates a packet that is leaving already, and sends it out by another device. The stack has counted its hop.
#[inline(always)]
pub fn leave<F: Wire>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    to: &FlowValue<F::Addr>,
    route: Route,
) -> Result<Handled, Reason> {
    rewrite::<F>(ctx, parsed, to, false)?;
    Ok(Handled::Redirected(route.redirect_routed(ctx, parsed.l3)?))
}

/// Translates a packet and sends it out itself: this node is one hop of its way. `send`: out by it.
#[inline(always)]
pub fn forward<F: Wire>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    to: &FlowValue<F::Addr>,
    send: impl FnOnce() -> Result<i32, Reason>,
) -> Result<Handled, Reason> {
    if parsed.hops <= 1 {
        return Err(Reason::DropTtl);
    }
    rewrite::<F>(ctx, parsed, to, true)?;
    Ok(Handled::Redirected(send()?))
}

#[inline(always)]
fn rewrite<F: Wire>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    to: &FlowValue<F::Addr>,
    hop: bool,
) -> Result<(), Reason> {
    let change = F::rewrite(&Skb(ctx), parsed, to, hop).ok_or(Reason::DropRewriteFailed)?;
    if parsed.part == Part::Later {
        // The first fragment carries the checksum of all.
        return Ok(());
    }
    // Bit 0x20 and up of the helper's flags (`BPF_F_*`), beside a size of 0: `to` is a difference.
    let (at, flags) = match parsed.key.proto {
        proto::TCP => (parsed.l4 + 16, 0),
        // A UDP checksum of 0 says that there is none (RFC 768): it stays so, and none becomes 0.
        proto::UDP => (parsed.l4 + 6, u64::from(BPF_F_MARK_MANGLED_0)),
        _ => return sctp::fix_checksum(ctx, parsed, to),
    };
    replace(ctx, at, change.pseudo, flags | u64::from(BPF_F_PSEUDO_HDR))?;
    replace(ctx, at, change.ports, flags)
}

/// Lets the kernel fix the transport checksum: only it knows whether the field is final or left to the network card.
#[inline(always)]
pub fn replace(ctx: &TcContext, at: usize, change: Change, flags: u64) -> Result<(), Reason> {
    if change == Change::NONE {
        return Ok(());
    }
    // SAFETY: the helper checks the offset against the packet.
    let result = unsafe { bpf_l4_csum_replace(ctx.skb.skb, at as u32, 0, u64::from(change.sum()), flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(Reason::DropRewriteFailed)
    }
}
