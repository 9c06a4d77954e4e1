//! North-south: packets of external devices.

mod egress;
mod fragment;
mod icmp;
mod ingress;
mod route;
mod sctp;
mod skb;
mod translate;
mod verdict;
mod wire;

/// Offset of the network header behind an Ethernet header.
pub const ETHERNET: u32 = 14;
/// Offset of the network header on devices without a link header (wireguard, tun, ipip …).
pub const NO_LINK_HEADER: u32 = 0;

use crate::flow;
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use kpr_abi::{V4, V6};
use verdict::{BEGIN, BEGUN, CHOSEN, DETOUR, ICMP, NEXT, REFUSE, verdict};

/// A packet that came in; its network header is at `l3`, [`ETHERNET`] or [`NO_LINK_HEADER`].
///
/// Each step is a function of its own: the verifier checks them one by one, and those that are not under way at the same time
/// share the stack.
#[inline(always)]
pub fn ingress(ctx: &TcContext, l3: u32) -> i32 {
    if skb::Skb(ctx).is_for_another_machine() {
        return NEXT;
    }
    dispatch(
        ctx,
        |skb| match kpr_ingress4(skb, l3) {
            BEGIN => begun(
                kpr_begin4(skb, l3),
                || kpr_establish4(skb, l3),
                || kpr_refuse4(skb, l3),
                || kpr_begun4(skb, l3),
            ),
            ICMP => kpr_icmp_ingress4(skb, l3),
            verdict => verdict,
        },
        |skb| match kpr_ingress6(skb, l3) {
            BEGIN => begun(
                kpr_begin6(skb, l3),
                || kpr_establish6(skb, l3),
                || kpr_refuse6(skb, l3),
                || kpr_begun6(skb, l3),
            ),
            ICMP => kpr_icmp_ingress6(skb, l3),
            verdict => verdict,
        },
    )
}

/// A packet that a pod sent: flows begin in another way.
#[inline(always)]
pub fn pod_ingress(ctx: &TcContext, l3: u32) -> i32 {
    dispatch(
        ctx,
        |skb| match kpr_ingress4(skb, l3) {
            BEGIN => begun(
                kpr_pod_begin4(skb, l3),
                || kpr_establish4(skb, l3),
                || kpr_refuse4(skb, l3),
                || kpr_begun4(skb, l3),
            ),
            ICMP => kpr_icmp_ingress4(skb, l3),
            verdict => verdict,
        },
        |skb| match kpr_ingress6(skb, l3) {
            BEGIN => begun(
                kpr_pod_begin6(skb, l3),
                || kpr_establish6(skb, l3),
                || kpr_refuse6(skb, l3),
                || kpr_begun6(skb, l3),
            ),
            ICMP => kpr_icmp_ingress6(skb, l3),
            verdict => verdict,
        },
    )
}

/// A packet that goes out, to the network or to a pod.
#[inline(always)]
pub fn egress(ctx: &TcContext, l3: u32) -> i32 {
    dispatch(
        ctx,
        |skb| match kpr_egress4(skb, l3) {
            DETOUR => kpr_detour4(skb, l3),
            ICMP => kpr_icmp_egress4(skb, l3),
            verdict => verdict,
        },
        |skb| match kpr_egress6(skb, l3) {
            DETOUR => kpr_detour6(skb, l3),
            ICMP => kpr_icmp_egress6(skb, l3),
            verdict => verdict,
        },
    )
}

/// Generic over the functions, and not given pointers to them: eBPF has no indirect calls.
#[inline(always)]
fn dispatch(ctx: &TcContext, v4: impl Fn(*mut __sk_buff) -> i32, v6: impl Fn(*mut __sk_buff) -> i32) -> i32 {
    let packet = skb::Skb(ctx);
    if packet.is::<V4>() {
        v4(ctx.skb.skb)
    } else if packet.is::<V6>() {
        v6(ctx.skb.skb)
    } else {
        NEXT
    }
}

/// What follows the choice of a backend: the flow is made, and the packet translated, after it was led to nobody if it is refused.
#[inline(always)]
fn begun(verdict: i32, establish: impl Fn() -> i32, refuse: impl Fn() -> i32, translate: impl Fn() -> i32) -> i32 {
    let verdict = if verdict == CHOSEN { establish() } else { verdict };
    let verdict = if verdict == REFUSE { refuse() } else { verdict };
    if verdict == BEGUN { translate() } else { verdict }
}

/// Exported and not inlined, or the compiler would make one function of all.
macro_rules! steps {
    ($($name:ident = $step:path;)+) => {$(
        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(skb: *mut __sk_buff, l3: u32) -> i32 {
            // A constant on either way: the verifier checks these functions for any number.
            let l3 = if l3 == ETHERNET { ETHERNET } else { NO_LINK_HEADER };
            verdict($step(&TcContext::new(skb), l3 as usize))
        }
    )+};
}

steps! {
    kpr_ingress4 = ingress::handle::<V4>;
    kpr_ingress6 = ingress::handle::<V6>;
    kpr_begin4 = ingress::begin::<V4, false>;
    kpr_begin6 = ingress::begin::<V6, false>;
    kpr_pod_begin4 = ingress::begin::<V4, true>;
    kpr_pod_begin6 = ingress::begin::<V6, true>;
    kpr_establish4 = ingress::establish::<V4>;
    kpr_establish6 = ingress::establish::<V6>;
    kpr_refuse4 = ingress::refuse::<V4>;
    kpr_refuse6 = ingress::refuse::<V6>;
    kpr_begun4 = ingress::begun::<V4>;
    kpr_begun6 = ingress::begun::<V6>;
    kpr_egress4 = egress::handle::<V4>;
    kpr_egress6 = egress::handle::<V6>;
    kpr_detour4 = egress::detour::<V4>;
    kpr_detour6 = egress::detour::<V6>;
    kpr_icmp_ingress4 = icmp::ingress::<V4>;
    kpr_icmp_ingress6 = icmp::ingress::<V6>;
    kpr_icmp_egress4 = icmp::egress::<V4>;
    kpr_icmp_egress6 = icmp::egress::<V6>;
}

/// What became of a packet that is not dropped.
pub enum Handled {
    /// No service's; unchanged.
    NotOurs,
    /// Translated, and goes on its way.
    Translated,
    /// ICMP: an error may be about a flow; unchanged so far.
    Icmp,
    /// The first packet of a flow to a frontend; unchanged so far.
    Begins,
    /// The same, and its backend is chosen; unchanged so far.
    Chosen,
    /// The same, and the flow is known now; unchanged so far.
    Begun,
    /// The first packet of a flow that gets no backend, and its sender is to be told; unchanged so far.
    Refuses,
    /// The answer of a flow that came by another device than this one leaves by; unchanged so far.
    Detours,
    /// Translated and sent out by another device: the verdict that the helper asked for.
    Redirected(i32),
}
