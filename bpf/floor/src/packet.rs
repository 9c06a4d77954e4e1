//! A packet in a socket buffer, behind an Ethernet header.

use aya_ebpf::programs::TcContext;
use kpr_abi::{Addr4, Reason};
use kpr_packet::{Packet, Parsed, Window, ipv4};

/// Offset of the network header.
const ETHERNET: usize = 14;

/// The packet of a tc program.
pub struct Skb<'a>(pub &'a TcContext);

impl Packet for Skb<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>> {
        // SAFETY: the packet of this program, and used before any helper changes it.
        unsafe { Window::inside(self.0.data(), self.0.data_end(), offset) }
    }
}

/// The packet's first bytes, if it has so many.
#[inline(always)]
pub fn head<const N: usize>(ctx: &TcContext) -> Option<*mut u8> {
    let start = ctx.data();
    (start + N <= ctx.data_end()).then_some(start as *mut u8)
}

/// Reads the headers.
#[inline(always)]
pub fn parse(ctx: &TcContext) -> Result<Parsed<Addr4>, Reason> {
    let mut parsed = Parsed::default();
    ipv4::parse(&Skb(ctx), ETHERNET, &mut parsed).map_err(|_| Reason::DropInconsistent)?;
    Ok(parsed)
}
