//! A packet in a socket buffer.

use crate::{headers::Headers, service_counts::Size};
use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, programs::TcContext};
use core::ptr::{read_volatile, write_volatile};
use kpr_abi::Be16;
use kpr_packet::{
    Packet, Window,
    ipv6::{self, Chain},
};

/// As much as the parser may look at: Ethernet, an IPv4 header with all options, TCP's fixed header.
const HEADERS: u32 = 14 + 60 + 20;

/// What `tc_index` of a packet is between the program that has sent it out and the one on its way out: it has nothing to do for it. The field
/// is the packet's own, never on the wire, and given back as it was found: 0.
const SENT: u32 = 0x6b70;

/// The packet of a tc program.
pub struct Skb<'a>(pub &'a TcContext);

impl Packet for Skb<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<N>> {
        // SAFETY: the packet of this program, and used before any helper changes it.
        unsafe { Window::inside(self.0.data(), self.0.data_end(), offset) }
    }

    #[inline(always)]
    fn walk6(&self, first: u8, start: usize) -> Chain {
        Chain(kpr_walk6(self.0.skb.skb, u32::from(first), start as u32))
    }
}

/// Walks over IPv6 extension headers. A global function: the verifier checks it once, by itself, and takes any result.
///
/// Not inlined and exported, or the compiler would look through it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn kpr_walk6(skb: *mut __sk_buff, first: u32, start: u32) -> u64 {
    let first = first as u8;
    let chain = ipv6::walk(first, start as usize, |offset| {
        let mut bytes = [0_u32; 2];
        // SAFETY: the helper checks the offset against the packet and writes eight bytes to `bytes`.
        let result = unsafe { bpf_skb_load_bytes(skb.cast(), offset as u32, bytes.as_mut_ptr().cast(), 8) };
        let [word, id] = bytes;
        let [next, units, high, low] = word.to_ne_bytes();
        (result == 0).then_some(ipv6::Extension {
            next,
            units,
            offset: Be16(u16::from_ne_bytes([high, low])),
            id,
        })
    });
    chain.0
}

impl Skb<'_> {
    /// Whether the packet is of the family. From the buffer, not from the wire: VLAN tags are already off.
    #[inline(always)]
    pub fn is<F: Headers>(&self) -> bool {
        // SAFETY: the field is part of the context.
        unsafe { read_volatile(&raw const (*self.0.skb.skb).protocol) == u32::from(F::ETHERTYPE.0) }
    }

    /// Whether the packet is in a frame for another machine, which a device sees that is promiscuous, or whose switch does not know
    /// yet where that machine is. The stack drops it.
    #[inline(always)]
    pub fn is_for_another_machine(&self) -> bool {
        const PACKET_OTHERHOST: u32 = 3;
        // SAFETY: the field is part of the context.
        unsafe { read_volatile(&raw const (*self.0.skb.skb).pkt_type) == PACKET_OTHERHOST }
    }

    /// The device that the packet came in by.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        // SAFETY: the field is part of the context.
        unsafe { read_volatile(&raw const (*self.0.skb.skb).ifindex) }
    }

    /// Tells the program on the way out of this very device that the packet is as it is to be. Of another device it is not known whether
    /// there is one, and who would see the packet next.
    #[inline(always)]
    pub fn is_sent_by(&self, ifindex: u32) {
        if ifindex == self.ifindex() {
            // SAFETY: the field is part of the context, and may be written.
            unsafe { write_volatile(&raw mut (*self.0.skb.skb).tc_index, SENT) };
        }
    }

    /// Whether [`Self::is_sent_by`] was said of this packet; nobody else learns of it.
    #[inline(always)]
    pub fn was_sent(&self) -> bool {
        // SAFETY: the field is part of the context, and may be written.
        unsafe {
            let index = &raw mut (*self.0.skb.skb).tc_index;
            let was_sent = read_volatile(index) == SENT;
            if was_sent {
                write_volatile(index, 0);
            }
            was_sent
        }
    }

    /// How much payload each packet has that is made of this one later, by the kernel or by the network card; 0 if it is left whole.
    #[inline(always)]
    pub fn segment_size(&self) -> u32 {
        // SAFETY: the field is part of the context.
        unsafe { read_volatile(&raw const (*self.0.skb.skb).gso_size) }
    }

    /// How much there is of it from its network header on.
    #[inline(always)]
    pub fn size(&self, l3: usize) -> Size {
        // SAFETY: the field is part of the context.
        let segments = unsafe { read_volatile(&raw const (*self.0.skb.skb).gso_segs) };
        Size {
            packets: segments.max(1),
            bytes: self.0.len().wrapping_sub(l3 as u32),
        }
    }

    /// Makes the headers readable where the driver left them outside the buffer's linear part.
    #[inline(always)]
    pub fn make_headers_linear(&self) {
        self.make_linear(HEADERS);
    }

    /// The same for as many bytes, or the whole packet if it has fewer.
    #[inline(always)]
    pub fn make_linear(&self, wanted: u32) {
        let linear = self.0.data_end() - self.0.data();
        let wanted = self.0.len().min(wanted);
        if linear < wanted as usize {
            // A failure leaves the packet as it is: it will not parse and goes to the stack.
            let _ = self.0.pull_data(wanted);
        }
    }
}
