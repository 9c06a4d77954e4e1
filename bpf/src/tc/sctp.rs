//! SCTP's checksum after a translation. It covers the SCTP packet alone, so new addresses leave it as it is; for new ports the kernel has
//! no helper, and the program computes the change itself.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_skb_load_bytes, bpf_skb_store_bytes},
    programs::TcContext,
};
use kpr_abi::{FlowValue, Reason};
use kpr_packet::{Parsed, Part, sctp};

/// Fixes the checksum of a packet of SCTP that has been given the translation's ports.
#[inline(always)]
pub fn fix_checksum<A>(ctx: &TcContext, parsed: &Parsed<A>, to: &FlowValue<A>) -> Result<(), Reason> {
    let changed = sctp::changed_bits(&parsed.key, to);
    if changed == 0 {
        return Ok(());
    }
    if parsed.part == Part::First {
        return Err(Reason::DropSctpFragment);
    }
    if kpr_sctp_checksum(ctx.skb.skb, parsed.l3 as u32, parsed.l4 as u32, changed) == 0 {
        Ok(())
    } else {
        Err(Reason::DropRewriteFailed)
    }
}

/// Brings the checksum of the SCTP packet at `l4`, whose IP header is at `l3`, up to a change of its ports. A global function: the verifier
/// checks it once and not behind every way to a translation. 0: done.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn kpr_sctp_checksum(skb: *mut __sk_buff, l3: u32, l4: u32, changed: u32) -> i32 {
    i32::from(update(skb, l3, l4, changed).is_none())
}

#[inline(always)]
fn update(skb: *mut __sk_buff, l3: u32, l4: u32, changed: u32) -> Option<()> {
    let length = sctp::length(load(skb, l3)?, l4.wrapping_sub(l3) as u16)?;
    let at = l4.wrapping_add(sctp::CHECKSUM as u32);
    let sum = sctp::checksum(load(skb, at)?, changed, length);
    // SAFETY: the helper checks the offset against the packet and reads the four bytes.
    let result = unsafe { bpf_skb_store_bytes(skb.cast(), at, sum.as_ptr().cast(), sum.len() as u32, 0) };
    (result == 0).then_some(())
}

/// Bytes at an offset of the packet.
#[inline(always)]
fn load<const N: usize>(skb: *mut __sk_buff, at: u32) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the helper checks the offset against the packet and writes `N` bytes.
    let result = unsafe { bpf_skb_load_bytes(skb.cast(), at, bytes.as_mut_ptr().cast(), N as u32) };
    (result == 0).then_some(bytes)
}
