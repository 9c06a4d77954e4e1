//! An Ethernet frame as XDP sees it.

use aya_ebpf::programs::XdpContext;
use kpr_abi::{Be16, xdp::HardwareAddress};
use kpr_packet::{Packet, Window, ethernet, ipv6::Chain};

/// Length of an Ethernet header, and offset of the network header behind it.
pub const ETHERNET: usize = 14;

/// The frame of an XDP program.
pub struct Frame<'a>(pub &'a XdpContext);

impl Packet for Frame<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>> {
        // SAFETY: the frame of this program, which calls no helper that moves it.
        unsafe { Window::inside(self.0.data(), self.0.data_end(), offset) }
    }

    /// Extension headers are not looked through here.
    #[inline(always)]
    fn walk6(&self, _first: u8, _start: usize) -> Chain {
        Chain::MALFORMED
    }
}

impl Frame<'_> {
    /// What the frame carries, as it stands behind its addresses: of a frame with a VLAN tag, that it has one.
    #[inline(always)]
    pub fn ethertype(&self) -> Option<Be16> {
        Some(Be16(self.link_header()?.u16::<12>()))
    }

    /// The device that the frame came in by.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        self.0.ingress_ifindex() as u32
    }

    /// Whom the frame is for.
    #[inline(always)]
    pub fn destination(&self) -> Option<HardwareAddress> {
        let link = self.link_header()?;
        Some(HardwareAddress {
            halves: [link.u16::<0>(), link.u16::<2>(), link.u16::<4>()],
            zero: 0,
        })
    }

    /// Writes a link header's addresses. `None`: nothing was written.
    #[inline(always)]
    pub fn address(&self, to: [u16; 3], from: [u16; 3]) -> Option<()> {
        ethernet::address(self.link_header()?, to, from);
        Some(())
    }

    #[inline(always)]
    fn link_header(&self) -> Option<Window<ETHERNET>> {
        self.window(0)
    }
}
