//! The way out for a packet that the stack must not see: its source is an address of this node, which a stack takes for a
//! martian.

use super::skb::Skb;
use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_fib_lookup as FibParams, bpf_redir_neigh},
    helpers::{bpf_fib_lookup, bpf_redirect_neigh, generated::bpf_skb_change_head},
    programs::TcContext,
};
use core::{
    mem::{size_of, zeroed},
    ptr::null_mut,
};
use kpr_abi::{Addr4, Addr6, Be16, FlowValue, Reason};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
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
    let mut params = params(ctx, AF_INET, proto, to);
    // The bits that routing knows (`IPTOS_RT_MASK`).
    params.__bindgen_anon_2.tos = class & 0x1c;
    params.__bindgen_anon_3.ipv4_src = to.src.0;
    params.__bindgen_anon_4.ipv4_dst = to.dst.0;
    lookup(ctx, params)
}

/// Looks up how an IPv6 packet leaves this node once it is translated.
#[inline(always)]
pub fn lookup6(ctx: &TcContext, proto: u8, class: u8, to: &FlowValue<Addr6>) -> Result<Route, Reason> {
    let mut params = params(ctx, AF_INET6, proto, to);
    // Traffic class in its place in the header's first word; the flow label is the sender's.
    params.__bindgen_anon_2.flowinfo = (u32::from(class) << 20).to_be();
    params.__bindgen_anon_3.ipv6_src = to.src.0;
    params.__bindgen_anon_4.ipv6_dst = to.dst.0;
    lookup(ctx, params)
}

#[inline(always)]
fn params<A>(ctx: &TcContext, family: u8, proto: u8, to: &FlowValue<A>) -> FibParams {
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut params: FibParams = unsafe { zeroed() };
    params.family = family;
    params.l4_protocol = proto;
    // In network byte order, as the kernel's multipath hash takes them.
    params.sport = to.sport.0;
    params.dport = to.dport.0;
    params.ifindex = Skb(ctx).ifindex();
    params
}

#[inline(always)]
fn lookup(ctx: &TcContext, mut params: FibParams) -> Result<Route, Reason> {
    // SAFETY: the helper reads and writes `params` within the size given.
    let result = unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut params, size_of::<FibParams>() as i32, 0) };
    if result != SUCCESS && result != NO_NEIGHBOUR {
        return Err(Reason::DropNoRoute);
    }
    // SAFETY: as above.
    let mut next_hop: bpf_redir_neigh = unsafe { zeroed() };
    // The family of the next hop, which need not be the packet's (RFC 5549).
    next_hop.nh_family = u32::from(params.family);
    // SAFETY: the helper left the next hop here: the gateway, or the destination itself where it is on link.
    next_hop.__bindgen_anon_1.ipv6_nh = unsafe { params.__bindgen_anon_4.ipv6_dst };
    Ok(Route {
        ifindex: params.ifindex,
        next_hop,
    })
}

impl Route {
    /// Sends the packet this way once the program ends; returns the verdict to end with. `l3`: where the packet's network header
    /// is.
    #[inline(always)]
    pub fn redirect(mut self, ctx: &TcContext, l3: usize) -> Result<i32, Reason> {
        make_room_for_link_header(ctx, l3)?;
        // SAFETY: the helper reads the next hop within the size given.
        let verdict = unsafe {
            bpf_redirect_neigh(
                self.ifindex,
                &raw mut self.next_hop,
                size_of::<bpf_redir_neigh>() as i32,
                0,
            )
        };
        Ok(verdict as i32)
    }

    /// The same for a packet that the stack has routed already. A packet that must wait for its neighbour would be sent, once that
    /// is known, with the link header of the way that the stack had chosen: so the helper is to route it anew, by its addresses.
    #[inline(always)]
    pub fn redirect_routed(self, ctx: &TcContext, l3: usize) -> Result<i32, Reason> {
        make_room_for_link_header(ctx, l3)?;
        // SAFETY: a helper without pointers: none is given.
        Ok(unsafe { bpf_redirect_neigh(self.ifindex, null_mut(), 0, 0) } as i32)
    }
}

/// `bpf_redirect_neigh` takes a link header off before it puts the right one on, if the way out has any: a packet without one gets
/// one of zeros to take off.
#[inline(always)]
fn make_room_for_link_header(ctx: &TcContext, l3: usize) -> Result<(), Reason> {
    /// Length of an Ethernet header.
    const ETHERNET: u32 = 14;
    // SAFETY: a helper on the program's own packet.
    if l3 == 0 && unsafe { bpf_skb_change_head(ctx.skb.skb, ETHERNET, 0) } != 0 {
        return Err(Reason::DropRewriteFailed);
    }
    Ok(())
}

/// A port that is no port: for look-ups before one is chosen.
pub const NO_PORT: Be16 = Be16(0);
