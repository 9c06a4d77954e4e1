//! The way out for a packet that the stack must not see: its source is an address of this node, which a stack takes for a
//! martian.

use super::skb::Skb;
use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_fib_lookup as FibParams, bpf_redir_neigh},
    helpers::{bpf_fib_lookup, bpf_redirect_neigh},
    programs::TcContext,
};
use core::mem::{size_of, zeroed};
use kpr_abi::{Addr4, Be16, FlowValue, Reason};

const AF_INET: u8 = 2;
/// `BPF_FIB_LKUP_RET_SUCCESS`: route and neighbour are known.
const SUCCESS: i64 = 0;
/// `BPF_FIB_LKUP_RET_NO_NEIGH`: the route is known; the redirect resolves the neighbour.
const NO_NEIGHBOUR: i64 = 7;

/// Device and next hop of a destination.
pub struct Route {
    /// Interface index.
    pub ifindex: u32,
    next_hop: bpf_redir_neigh,
}

/// Looks up how an IPv4 packet leaves this node once it is translated.
#[inline(always)]
pub fn lookup4(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Addr4>) -> Result<Route, Reason> {
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut params: FibParams = unsafe { zeroed() };
    params.family = AF_INET;
    params.l4_protocol = proto;
    // Both in network byte order, as the kernel's multipath hash takes them.
    params.sport = to.sport.0;
    params.dport = to.dport.0;
    params.ifindex = Skb(ctx).ifindex();
    params.__bindgen_anon_2.tos = class & 0x1c;
    params.__bindgen_anon_3.ipv4_src = to.src.0;
    params.__bindgen_anon_4.ipv4_dst = to.dst.0;
    // SAFETY: the helper reads and writes `params` within the size given.
    let result = unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut params, size_of::<FibParams>() as i32, 0) };
    if result != SUCCESS && result != NO_NEIGHBOUR {
        return Err(Reason::DropNoRoute);
    }
    // SAFETY: as above.
    let mut next_hop: bpf_redir_neigh = unsafe { zeroed() };
    next_hop.nh_family = u32::from(params.family);
    // SAFETY: the helper left the next hop here: the gateway, or the destination itself where it is on link.
    next_hop.__bindgen_anon_1.ipv6_nh = unsafe { params.__bindgen_anon_4.ipv6_dst };
    Ok(Route {
        ifindex: params.ifindex,
        next_hop,
    })
}

impl Route {
    /// Sends the packet this way once the program ends; returns the verdict to end with.
    #[inline(always)]
    pub fn redirect(mut self) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "a tc verdict")]
        // SAFETY: the helper reads the next hop within the size given.
        unsafe {
            bpf_redirect_neigh(
                self.ifindex,
                &raw mut self.next_hop,
                size_of::<bpf_redir_neigh>() as i32,
                0,
            ) as i32
        }
    }
}

/// A port that is no port: for look-ups before one is chosen.
pub const NO_PORT: Be16 = Be16(0);
