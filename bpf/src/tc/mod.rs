//! North-south: packets of external devices.

mod egress;
mod flow;
mod fragment;
mod icmp;
mod ingress;
mod route;
mod skb;
mod translate;
mod verdict;
mod wire;

/// Offset of the network header behind an Ethernet header.
pub const ETHERNET: u32 = 14;
/// Offset of the network header on devices without a link header (wireguard, tun, ipip …).
pub const NO_LINK_HEADER: u32 = 0;

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use kpr_abi::{V4, V6};
use verdict::{ICMP, NEXT, verdict};

/// A packet that came in; its network header is at `l3`, [`ETHERNET`] or [`NO_LINK_HEADER`]. Each step is a function of its own: the verifier checks them one by one, and those that are not under
/// way at the same time share the stack.
#[inline(always)]
pub fn ingress(ctx: &TcContext, l3: u32) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_ingress4(skb, l3), || kpr_icmp_ingress4(skb, l3)),
        |skb| then(kpr_ingress6(skb, l3), || kpr_icmp_ingress6(skb, l3)),
    )
}

/// A packet that a pod sent.
#[inline(always)]
pub fn pod_ingress(ctx: &TcContext, l3: u32) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_pod_ingress4(skb, l3), || kpr_icmp_ingress4(skb, l3)),
        |skb| then(kpr_pod_ingress6(skb, l3), || kpr_icmp_ingress6(skb, l3)),
    )
}

/// A packet that goes out, to the network or to a pod.
#[inline(always)]
pub fn egress(ctx: &TcContext, l3: u32) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_egress4(skb, l3), || kpr_icmp_egress4(skb, l3)),
        |skb| then(kpr_egress6(skb, l3), || kpr_icmp_egress6(skb, l3)),
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

#[inline(always)]
fn then(verdict: i32, icmp: impl Fn() -> i32) -> i32 {
    if verdict == ICMP { icmp() } else { verdict }
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
    kpr_ingress4 = ingress::handle::<V4, false>;
    kpr_ingress6 = ingress::handle::<V6, false>;
    kpr_pod_ingress4 = ingress::handle::<V4, true>;
    kpr_pod_ingress6 = ingress::handle::<V6, true>;
    kpr_egress4 = egress::handle::<V4>;
    kpr_egress6 = egress::handle::<V6>;
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
    /// Translated and sent out by another device: the verdict that the helper asked for.
    Redirected(i32),
}
