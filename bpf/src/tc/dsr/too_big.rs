//! A packet that is too big to be encapsulated: its sender is told what is not, in the frontend's name.
//!
//! IPv4 packets that routers may fragment are answered in the same way. A program can't fragment them, and senders listen all the same.

use super::Tunnel;
use crate::{
    counters,
    maps::QUOTATION,
    tc::{Handled, skb::Skb},
};
use aya_ebpf::{
    bindings::{BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::{
        bpf_csum_diff, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use core::{mem::size_of, ptr::null_mut};
use kpr_abi::{FlowValue, Reason};
use kpr_packet::{Parsed, Part, too_big::QUOTED};

/// More than any packet has in front of its payload. A packet whose checksum is left to the network card is one no more when what the
/// checksum covers begins before the packet does (`skb_postpull_rcsum`).
const CUT: usize = 256;

/// Answers the packet that [`super::send::tunnel`] has found too big.
#[inline(always)]
pub fn too_big<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    // Nobody is told of errors and later fragments (RFC 1122 §3.2.2).
    if F::parse(&Skb(ctx), l3, &mut parsed).is_err() || parsed.part == Part::Later {
        return Err(Reason::DropTooBig);
    }
    let to = FlowValue {
        src: parsed.key.dst,
        dst: parsed.key.src,
        ..FlowValue::default()
    };
    let scratch = F::chosen().get_ptr(0).ok_or(Reason::DropInconsistent)?;
    // SAFETY: this CPU's own entry, which `tunnel` has written for this packet.
    let mtu = unsafe { (*scratch).length } as u16;
    answer::<F>(ctx, l3, &to, mtu).map_err(|_| Reason::DropTooBig)?;
    let way = F::route(ctx, F::ICMP, 0, &to)?;
    counters::count_packet(Reason::DropTooBig);
    Ok(Handled::Redirected(way.redirect(ctx, l3)?))
}

/// Makes the packet an ICMP error about itself.
#[inline(always)]
fn answer<F: Tunnel>(ctx: &TcContext, l3: usize, to: &FlowValue<F::Addr>, mtu: u16) -> Result<(), i64> {
    let skb = ctx.skb.skb;
    let quotation = QUOTATION.get_ptr_mut(0).ok_or(0)?;
    let headers = 4 * F::ERROR_WORDS;
    let length = (l3 + headers + QUOTED) as u32;
    // SAFETY: helpers on the program's own packet, and on this CPU's own entry of a map, of exactly the length given.
    unsafe {
        done(bpf_skb_load_bytes(
            skb.cast(),
            l3 as u32,
            quotation.cast(),
            QUOTED as u32,
        ))?;
        let sum = bpf_csum_diff(null_mut(), 0, quotation.cast(), QUOTED as u32, 0);
        // Cutting the tail ends all offloads but the checksum, cutting the head that one.
        done(bpf_skb_change_tail(skb, length + CUT as u32, 0))?;
        let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
        done(bpf_skb_adjust_room(skb, -(CUT as i32), BPF_ADJ_ROOM_MAC, flags))?;
        let words = F::error_headers(to.src, to.dst, mtu, sum.cast_unsigned() as u32);
        done(bpf_skb_store_bytes(
            skb,
            l3 as u32,
            (&raw const words).cast(),
            size_of::<F::ErrorHeaders>() as u32,
            0,
        ))?;
        done(bpf_skb_store_bytes(
            skb,
            (l3 + headers) as u32,
            quotation.cast(),
            QUOTED as u32,
            0,
        ))
    }
}

#[inline(always)]
fn done(result: i64) -> Result<(), i64> {
    if result == 0 { Ok(()) } else { Err(result) }
}
