//! North-south: packets of external devices.

pub mod dsr;
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

use crate::{
    config, events, flow,
    maps::{Chosen, Tables},
    screen,
};
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use kpr_abi::{Reason, V4, V6, config::features, event::hook};
use verdict::{
    ADMITTED, BEGIN, BEGIN_INSIDE, BEGUN, CAME_BACK, CHOSEN, DETOUR, ENCAPSULATED, ICMP, NEXT, REFUSE, REPORT_INSIDE,
    SEND_BACK, TOO_BIG, TUNNEL, TURN_BACK, verdict,
};

/// A packet that came in; its network header is at `l3`, [`ETHERNET`] or [`NO_LINK_HEADER`].
///
/// Each step is a function of its own: the verifier checks them one by one, and those that are not under way at the same time
/// share the stack.
#[inline(always)]
pub fn ingress(ctx: &TcContext, l3: u32) -> i32 {
    if skb::Skb(ctx).is_for_another_machine() {
        return NEXT;
    }
    events::began(hook::INGRESS, || skb::Skb(ctx).ifindex());
    dispatch(
        ctx,
        |skb| came4(skb, l3, || kpr_begin4(skb, l3)),
        |skb| came6(skb, l3, || kpr_begin6(skb, l3)),
    )
}

/// A packet that a pod sent: flows begin in another way.
#[inline(always)]
pub fn pod_ingress(ctx: &TcContext, l3: u32) -> i32 {
    events::began(hook::POD_INGRESS, || skb::Skb(ctx).ifindex());
    dispatch(
        ctx,
        |skb| came4(skb, l3, || kpr_pod_begin4(skb, l3)),
        |skb| came6(skb, l3, || kpr_pod_begin6(skb, l3)),
    )
}

/// Generic over the step that begins a flow, and not given a pointer to it: eBPF has no indirect calls.
macro_rules! came {
    ($name:ident, $family:ty: $ingress:ident, $receive:ident, $report:ident, $admit:ident, $accept:ident, $send_back:ident, $turn_back:ident, $again:ident,
     $establish:ident, $refuse:ident, $begun:ident, $icmp:ident, $tunnel:ident, $too_big:ident) => {
        /// The steps of a packet that came in.
        #[inline(always)]
        fn $name(skb: *mut __sk_buff, l3: u32, begin: impl Fn() -> i32) -> i32 {
            if !screen::may_be_ours::<$family, _>(&skb::Skb(&TcContext::new(skb)), l3 as usize) {
                return NEXT;
            }
            let mut verdict = $ingress(skb, l3);
            if verdict == NEXT {
                return NEXT;
            }
            let tunnels = config::has(features::TUNNELS);
            if tunnels && verdict == ENCAPSULATED {
                verdict = received(
                    $receive(skb, l3),
                    || $report(skb, l3),
                    || $admit(skb, l3),
                    || $accept(skb, l3),
                    || $send_back(skb, l3),
                    || $turn_back(skb, l3),
                    || $again(skb, l3),
                );
            }
            if verdict == BEGIN {
                verdict = begin();
            }
            verdict = begun(
                verdict,
                || $establish(skb, l3),
                || $refuse(skb, l3),
                || $begun(skb, l3),
            );
            if verdict == ICMP {
                verdict = $icmp(skb, l3);
            }
            if tunnels && verdict == TUNNEL {
                verdict = $tunnel(skb, l3);
                if verdict == TOO_BIG {
                    verdict = $too_big(skb, l3);
                }
            }
            verdict
        }
    };
}

came!(came4, V4: kpr_ingress4, kpr_receive4, kpr_report4, kpr_admit4, kpr_accept4, kpr_send_back4, kpr_turn_back4, kpr_again4, kpr_establish4, kpr_refuse4,
    kpr_begun4, kpr_icmp_ingress4, kpr_tunnel4, kpr_too_big4);
came!(came6, V6: kpr_ingress6, kpr_receive6, kpr_report6, kpr_admit6, kpr_accept6, kpr_send_back6, kpr_turn_back6, kpr_again6, kpr_establish6, kpr_refuse6,
    kpr_begun6, kpr_icmp_ingress6, kpr_tunnel6, kpr_too_big6);

/// A packet that goes out, to the network or to a pod.
#[inline(always)]
pub fn egress(ctx: &TcContext, l3: u32) -> i32 {
    if skb::Skb(ctx).was_sent() {
        return NEXT;
    }
    events::began(hook::EGRESS, || skb::Skb(ctx).ifindex());
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

/// What follows the look at an encapsulated packet.
#[inline(always)]
fn received(
    mut verdict: i32,
    report: impl Fn() -> i32,
    admit: impl Fn() -> i32,
    accept: impl Fn() -> i32,
    send_back: impl Fn() -> i32,
    turn_back: impl Fn() -> i32,
    again: impl Fn() -> i32,
) -> i32 {
    if verdict == REPORT_INSIDE {
        return report();
    }
    if verdict == CAME_BACK {
        return again();
    }
    if verdict == BEGIN_INSIDE {
        verdict = admit();
    }
    if verdict == ADMITTED {
        verdict = accept();
    }
    if verdict == SEND_BACK {
        verdict = send_back();
    }
    if verdict == TURN_BACK { turn_back() } else { verdict }
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
    kpr_receive4 = dsr::receive::receive::<V4>;
    kpr_receive6 = dsr::receive::receive::<V6>;
    kpr_report4 = dsr::receive::report::<V4>;
    kpr_report6 = dsr::receive::report::<V6>;
    kpr_admit4 = dsr::receive::admit::<V4>;
    kpr_admit6 = dsr::receive::admit::<V6>;
    kpr_accept4 = dsr::receive::accept::<V4>;
    kpr_accept6 = dsr::receive::accept::<V6>;
    kpr_send_back4 = dsr::send_back::send_back::<V4>;
    kpr_send_back6 = dsr::send_back::send_back::<V6>;
    kpr_turn_back4 = dsr::send_back::turn_back::<V4>;
    kpr_turn_back6 = dsr::send_back::turn_back::<V6>;
    kpr_again4 = dsr::send_back::again::<V4>;
    kpr_again6 = dsr::send_back::again::<V6>;
    kpr_tunnel4 = dsr::send::tunnel::<V4>;
    kpr_tunnel6 = dsr::send::tunnel::<V6>;
    kpr_too_big4 = dsr::too_big::too_big::<V4>;
    kpr_too_big6 = dsr::too_big::too_big::<V6>;
}

/// Leaves to the next step what this one has found.
#[inline(always)]
fn keep<F: Tables>(chosen: Chosen<F::Addr>) -> Result<(), Reason> {
    let scratch = F::chosen().get_ptr_mut(0).ok_or(Reason::DropInconsistent)?;
    // SAFETY: this CPU's own entry, which nothing else uses until the packet is through.
    unsafe { *scratch = chosen };
    Ok(())
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
    /// Another node has encapsulated it, as it seems; unchanged so far.
    Encapsulated,
    /// The same, and what is inside is the first packet of a flow, as far as this node knows.
    BeginsInside,
    /// The same, and inside is an ICMP error.
    ReportsInside,
    /// The same, and its backend is found on this node.
    Admitted,
    /// The same, and it is to go back to the node that sent it, if that is another one, and this node the one that it was sent to.
    SendsBack,
    /// The same, and it is to go back to the node that sent it.
    TurnsBack,
    /// The same, but it was this node that had sent it.
    CameBack,
    /// It is to be encapsulated; unchanged so far.
    Tunnels,
    /// The same, but it would be too big; unchanged so far.
    TooBig,
    /// Translated and sent out by another device: the verdict that the helper asked for.
    Redirected(i32),
}
