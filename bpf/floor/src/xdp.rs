//! The same before there is a socket buffer.

use crate::{
    maps::{FLOWS, FRONTENDS, LINK_HEADER},
    route,
};
use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX},
    programs::XdpContext,
};
use core::mem::MaybeUninit;
use kpr_abi::{Addr4, FlowValue, ServiceKey, xdp::HardwareAddress};
use kpr_packet::{Packet, Parsed, Window, ethernet, ipv4};

/// Offset of the network header.
pub const ETHERNET: usize = 14;
/// Transport protocols: the offset of the checksum in the header.
pub const TCP: usize = 16;
pub const UDP: usize = 6;

/// The frame of an XDP program.
pub struct Frame<'a>(pub &'a XdpContext);

impl Packet for Frame<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>> {
        // SAFETY: the frame of this program, which calls no helper that moves it.
        unsafe { Window::inside(self.0.data(), self.0.data_end(), offset) }
    }
}

/// The frame's first bytes, if it has so many.
#[inline(always)]
pub fn head<const N: usize>(ctx: &XdpContext) -> Option<*mut u8> {
    let start = ctx.data();
    (start + N <= ctx.data_end()).then_some(start as *mut u8)
}

#[inline(always)]
fn parse(ctx: &XdpContext) -> Option<Parsed<Addr4>> {
    let mut parsed = Parsed::default();
    let frame = Frame(ctx);
    (ipv4::is_plain(&frame, ETHERNET) && ipv4::parse(&frame, ETHERNET, &mut parsed).is_ok()).then_some(parsed)
}

/// Parses, and finds no frontend.
#[inline(always)]
pub fn miss(ctx: &XdpContext) -> u32 {
    let Some(parsed) = parse(ctx) else {
        return XDP_ABORTED;
    };
    let key = ServiceKey::new(parsed.key.dst, parsed.key.dport, parsed.key.proto);
    if FRONTENDS.get_ptr(key).is_some() {
        XDP_DROP
    } else {
        XDP_PASS
    }
}

/// Finds the flow of a packet of this direction and transport protocol, and sends it on.
#[inline(always)]
pub fn established<const PROTOCOL: usize>(ctx: &XdpContext, direction: u8) -> u32 {
    forward::<PROTOCOL>(ctx, direction, |parsed, to| {
        let mut params = MaybeUninit::uninit();
        let way = route::ask(ctx, ctx.ingress_ifindex() as u32, parsed.key.proto, to, &mut params).ok()?;
        let (next, own) = (HardwareAddress::from(way.dmac), HardwareAddress::from(way.smac));
        Some([next.halves, own.halves])
    })
    .unwrap_or(XDP_ABORTED)
}

/// The same to a next hop that is known without asking.
#[inline(always)]
pub fn bare<const PROTOCOL: usize>(ctx: &XdpContext, direction: u8) -> u32 {
    forward::<PROTOCOL>(ctx, direction, |_, _| {
        let halves = LINK_HEADER.load();
        Some([[halves[0], halves[1], halves[2]], [halves[3], halves[4], halves[5]]])
    })
    .unwrap_or(XDP_ABORTED)
}

/// `way`: hardware addresses of the next hop and of the device.
#[inline(always)]
fn forward<const PROTOCOL: usize>(
    ctx: &XdpContext,
    direction: u8,
    way: impl FnOnce(&Parsed<Addr4>, &FlowValue<Addr4>) -> Option<[[u16; 3]; 2]>,
) -> Option<u32> {
    let frame = Frame(ctx);
    let mut parsed = parse(ctx)?;
    parsed.key.direction = direction;
    let value = FLOWS.get_ptr(parsed.key)?;
    // SAFETY: a map value that was just looked up.
    let to = unsafe { *value };
    if parsed.hops <= 1 {
        return None;
    }
    let [next, own] = way(&parsed, &to)?;
    let checksum: Window<2> = frame.window(parsed.l4 + PROTOCOL)?;
    let link: Window<ETHERNET> = frame.window(0)?;
    let change = ipv4::rewrite(&frame, &parsed, &to, true)?;
    checksum.set_u16::<0>(change.pseudo.and(change.ports).apply(checksum.u16::<0>()));
    ethernet::address(link, next, own);
    Some(XDP_TX)
}
