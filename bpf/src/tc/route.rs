//! The way out for a packet that the stack must not see: its source is an address of this node, which a stack takes for a
//! martian.

use super::skb::Skb;
use crate::fib::{self, FibParams};
use aya_ebpf::{
    EbpfContext,
    bindings::bpf_redir_neigh,
    helpers::{
        bpf_redirect, bpf_redirect_neigh,
        generated::{bpf_check_mtu, bpf_skb_change_head},
    },
    programs::TcContext,
};
use core::{
    mem::{size_of, zeroed},
    ptr::null_mut,
};
use kpr_abi::{Be16, Reason, Way};
use kpr_packet::{Packet, ethernet};

/// Length of a packet that fits anywhere: given one, the helper tells how long a packet may be by the route, and not whether this one fits
/// the device.
const MEASURE: u16 = 1;

/// Device and next hop of a destination.
pub struct Route {
    /// Interface index.
    pub ifindex: u32,
    /// The longest packet that may go this way, if the look-up was one that [measures](measure).
    pub mtu: u16,
    next_hop: bpf_redir_neigh,
    /// To the neighbour, if that is known and the look-up was one that [measures](measure).
    pub way: Way,
}

/// Looks up how a packet leaves this node.
#[inline(always)]
pub fn lookup(ctx: &TcContext, mut params: FibParams) -> Result<Route, Reason> {
    let result = fib::lookup(ctx, &mut params);
    // Of an unknown neighbour the redirect finds out.
    if result != fib::SUCCESS && result != fib::NO_NEIGHBOUR {
        return Err(Reason::DropNoRoute);
    }
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut next_hop: bpf_redir_neigh = unsafe { zeroed() };
    // The family of the next hop, which need not be the packet's (RFC 5549).
    next_hop.nh_family = u32::from(params.family);
    // SAFETY: the helper left the next hop here: the gateway, or the destination itself where it is on link.
    next_hop.__bindgen_anon_1.ipv6_nh = unsafe { params.__bindgen_anon_4.ipv6_dst };
    Ok(Route {
        ifindex: params.ifindex,
        // SAFETY: two bytes either way: the helper's answer, or 0 where nobody asked.
        mtu: unsafe { params.__bindgen_anon_1.mtu_result },
        next_hop,
        way: if result == fib::SUCCESS {
            fib::way(&params)
        } else {
            Way::default()
        },
    })
}

/// The same, for packets of a flow that is to remember its [way](Route::way).
#[inline(always)]
pub fn lookup_way(ctx: &TcContext, mut params: FibParams) -> Result<Route, Reason> {
    params.__bindgen_anon_1.tot_len = MEASURE;
    lookup(ctx, params)
}

/// The same, with the longest packet that may go that way.
#[inline(always)]
pub fn measure(ctx: &TcContext, params: FibParams) -> Result<Route, Reason> {
    lookup_way(ctx, params)?.measured(ctx)
}

/// Sends a packet behind an Ethernet header the way that its flow remembers, once the program ends; returns the verdict to end with.
#[inline(always)]
pub fn redirect_known(ctx: &TcContext, way: &Way) -> Result<i32, Reason> {
    let skb = Skb(ctx);
    let link = skb.window(0).ok_or(Reason::DropRewriteFailed)?;
    ethernet::address(link, way.to, way.from);
    skb.is_sent_by(way.ifindex.into());
    // SAFETY: a helper without pointers. Where the device has no link header, it takes this one off.
    Ok(unsafe { bpf_redirect(way.ifindex.into(), 0) } as i32)
}

impl Route {
    /// Adds how long a packet may be, if the look-up did not tell, which it does only where the neighbour is known.
    #[inline(always)]
    fn measured(mut self, ctx: &TcContext) -> Result<Self, Reason> {
        if self.mtu == MEASURE {
            let mut length = u32::from(MEASURE);
            // SAFETY: the helper reads and writes `length`: it leaves the device's MTU there.
            let result = unsafe { bpf_check_mtu(ctx.as_ptr(), self.ifindex, &raw mut length, 0, 0) };
            if result < 0 {
                return Err(Reason::DropNoRoute);
            }
            self.mtu = u16::try_from(length).unwrap_or(u16::MAX);
        }
        Ok(self)
    }

    /// Sends the packet this way once the program ends; returns the verdict to end with. `l3`: where the packet's network header
    /// is.
    #[inline(always)]
    pub fn redirect(mut self, ctx: &TcContext, l3: usize) -> Result<i32, Reason> {
        make_room_for_link_header(ctx, l3)?;
        Skb(ctx).is_sent_by(self.ifindex);
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
