//! ICMP errors about packets of a flow: "fragmentation needed" and the like reach the one who sent the packet, and quote the
//! packet that it sent.

use super::{Handled, dsr, egress::came_by_another, flow, skb::Skb, translate, wire::Wire};
use aya_ebpf::{bindings::BPF_F_PSEUDO_HDR, programs::TcContext};
use kpr_abi::{Reason, flow::direction};
use kpr_packet::IcmpError;

/// Offset of the checksum in the ICMP header.
const CHECKSUM: usize = 2;

/// Handles an ICMP packet that came in by an external device.
#[inline(always)]
pub fn ingress<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut report = IcmpError::default();
    if F::parse_error(&Skb(ctx), l3, &mut report).is_err() {
        return Ok(Handled::NotOurs);
    }
    // About a packet to a remote backend: its answer would be a reply.
    report.answer.direction = direction::REPLY;
    if let Some(handled) = redirect_or_pass::<F>(ctx, &report)? {
        return Ok(handled);
    }
    // About a packet to the client: its answer would be a request.
    report.answer.direction = direction::FORWARD;
    Ok(redirect_or_pass::<F>(ctx, &report)?.unwrap_or(Handled::NotOurs))
}

/// Handles an ICMP packet that goes out by an external device: a local backend, or the node for it, reports to the client.
#[inline(always)]
pub fn egress<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut report = IcmpError::default();
    if F::parse_error(&Skb(ctx), l3, &mut report).is_err() {
        return Ok(Handled::NotOurs);
    }
    report.answer.direction = direction::REPLY;
    match flow::peek::<F>(&report.answer) {
        Some(value) if flow::is_passed(&value) => {
            // As `egress::detour`, and for the same reason.
            if came_by_another(ctx, &value)
                && let Ok(route) = F::route_error(ctx, &report, &value)
                && route.ifindex != Skb(ctx).ifindex()
            {
                rewrite::<F>(ctx, &report, &value, false)?;
                return Ok(Handled::Redirected(route.redirect_routed(ctx, report.l3)?));
            }
            rewrite::<F>(ctx, &report, &value, false)
        }
        _ => Ok(Handled::NotOurs),
    }
}

#[inline(always)]
fn redirect_or_pass<F: Wire>(ctx: &TcContext, report: &IcmpError<F::Addr>) -> Result<Option<Handled>, Reason> {
    let Some(value) = flow::peek::<F>(&report.answer) else {
        return Ok(None);
    };
    if flow::is_yielded(&value) {
        return Ok(None);
    }
    if flow::is_tunnelled(&value) {
        return dsr::send::leave_report::<F>(report, &value).map(Some);
    }
    if !flow::is_forwarded(&value) {
        // A reply of a local backend is translated on its way out, not here.
        return if report.answer.direction == direction::FORWARD {
            rewrite::<F>(ctx, report, &value, false).map(Some)
        } else {
            Ok(None)
        };
    }
    if report.hops <= 1 {
        return Err(Reason::DropTtl);
    }
    let route = F::route_error(ctx, report, &value)?;
    rewrite::<F>(ctx, report, &value, true)?;
    Ok(Some(Handled::Redirected(route.redirect(ctx, report.l3)?)))
}

#[inline(always)]
fn rewrite<F: Wire>(
    ctx: &TcContext,
    report: &IcmpError<F::Addr>,
    value: &kpr_abi::FlowValue<F::Addr>,
    hop: bool,
) -> Result<Handled, Reason> {
    // A router on the way keeps its address where the flow's own source keeps its: what netfilter does.
    let src = if value.src == report.answer.src {
        report.src
    } else {
        value.src
    };
    let change = F::rewrite_error(&Skb(ctx), report, src, value.dst, value, hop).ok_or(Reason::DropRewriteFailed)?;
    let at = report.icmp + CHECKSUM;
    translate::replace(ctx, at, change.pseudo, u64::from(BPF_F_PSEUDO_HDR))?;
    translate::replace(ctx, at, change.ports, 0)?;
    Ok(Handled::Translated)
}
