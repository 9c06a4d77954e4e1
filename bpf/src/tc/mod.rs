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

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use kpr_abi::{V4, V6};
use verdict::{ICMP, NEXT, verdict};

/// A packet that came in. Each step is a function of its own: the verifier checks them one by one, and those that are not under
/// way at the same time share the stack.
#[inline(always)]
pub fn ingress(ctx: &TcContext) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_ingress4(skb), || kpr_icmp_ingress4(skb)),
        |skb| then(kpr_ingress6(skb), || kpr_icmp_ingress6(skb)),
    )
}

/// A packet that a pod sent.
#[inline(always)]
pub fn pod_ingress(ctx: &TcContext) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_pod_ingress4(skb), || kpr_icmp_ingress4(skb)),
        |skb| then(kpr_pod_ingress6(skb), || kpr_icmp_ingress6(skb)),
    )
}

/// A packet that goes out, to the network or to a pod.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> i32 {
    dispatch(
        ctx,
        |skb| then(kpr_egress4(skb), || kpr_icmp_egress4(skb)),
        |skb| then(kpr_egress6(skb), || kpr_icmp_egress6(skb)),
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
        extern "C" fn $name(skb: *mut __sk_buff) -> i32 {
            verdict($step(&TcContext::new(skb)))
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
