//! The node that the client asked: a packet goes to the backend's node as it is, in another one.

use super::Tunnel;
use crate::{
    config, events,
    maps::{Chosen, Tables},
    tc::{self, Handled, skb::Skb, wire::Wire},
};
use aya_ebpf::{
    bindings::{BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::bpf_skb_adjust_room,
    programs::TcContext,
};
use kpr_abi::{Address, Be16, FlowKey, FlowValue, Reason, config::features, proto};
use kpr_packet::{
    IcmpError, Packet, Parsed, Part, Window,
    encap::{Dispatch, GENEVE_PORT, Outer},
};

/// Leaves a packet of the flow to [`tunnel`].
#[inline(always)]
pub fn leave<F: Wire>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    value: &FlowValue<F::Addr>,
) -> Result<Handled, Reason> {
    keep::<F>(&parsed.key, value, parsed.class, segment(ctx, parsed))
}

/// Leaves an ICMP error to [`tunnel`]: one about an answer, which the backend's node alone can translate.
#[inline(always)]
pub fn leave_report<F: Wire>(report: &IcmpError<F::Addr>, value: &FlowValue<F::Addr>) -> Result<Handled, Reason> {
    keep::<F>(&report.answer, value, report.class, 0)
}

#[inline(always)]
fn keep<F: Tables>(
    key: &FlowKey<F::Addr>,
    value: &FlowValue<F::Addr>,
    class: u8,
    length: u32,
) -> Result<Handled, Reason> {
    if !config::has(features::TUNNELS) {
        return Err(Reason::DropDsrUnknown);
    }
    tc::keep::<F>(Chosen {
        key: *key,
        value: *value,
        service_flags: 0,
        backend_flags: 0,
        class: class.into(),
        length,
    })?;
    Ok(Handled::Tunnels)
}

/// Length of the packets that the kernel or the network card makes of this one; 0 if it is left whole.
#[inline(always)]
fn segment<A>(ctx: &TcContext, parsed: &Parsed<A>) -> u32 {
    let size = Skb(ctx).segment_size();
    if size == 0 || parsed.part == Part::Later {
        return 0;
    }
    let head = if parsed.key.proto == proto::TCP {
        // The data offset, in words (RFC 9293 §3.1).
        let tcp: Option<Window<14>> = Skb(ctx).window(parsed.l4);
        tcp.map_or(0, |tcp| u32::from(tcp.u8::<12>() >> 4) * 4)
    } else {
        8
    };
    (parsed.l4 as u32).wrapping_sub(parsed.l3 as u32) + head + size
}

/// Encapsulates the packet that [`leave`] has left, and sends it out. One that would be too big is left to [`super::too_big`].
#[inline(always)]
pub fn tunnel<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    if config::has(features::IPIP) {
        put_into::<F>(ctx, l3, Dispatch::Ipip)
    } else {
        put_into::<F>(ctx, l3, Dispatch::Geneve)
    }
}

#[inline(always)]
fn put_into<F: Tunnel>(ctx: &TcContext, l3: usize, dispatch: Dispatch) -> Result<Handled, Reason> {
    let scratch = F::chosen().get_ptr_mut(0).ok_or(Reason::DropInconsistent)?;
    // SAFETY: this CPU's own entry, which `leave` has written for this packet.
    let chosen = unsafe { &mut *scratch };
    let entropy = entropy(&chosen.key);
    let mut outer = Outer {
        src: chosen.value.src,
        dst: chosen.value.dst,
        dispatch,
        entropy,
        length: 0,
        class: chosen.class as u8,
    };
    let way = route::<F>(ctx, &outer)?;
    events::leaves(way.ifindex);
    let skb = Skb(ctx);
    let overhead = F::overhead(dispatch);
    let length = F::length(&skb, l3).ok_or(Reason::DropRewriteFailed)?;
    let largest = if chosen.length == 0 {
        u32::from(length)
    } else {
        chosen.length
    };
    let room = u32::from(way.mtu).saturating_sub(overhead as u32);
    if largest > room {
        chosen.length = room;
        return Ok(Handled::TooBig);
    }
    outer.length = F::hop(&skb, l3).ok_or(Reason::DropTtl)?;
    let transport = match dispatch {
        Dispatch::Ipip => 0,
        Dispatch::Geneve => u64::from(BPF_F_ADJ_ROOM_ENCAP_L4_UDP),
    };
    // Packets that the network card, or the kernel for it, cuts later have the payload that they had: whether they are too big is known.
    let flags = F::ENCAPSULATES | transport | u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
    // SAFETY: a helper on the program's own packet.
    if unsafe { bpf_skb_adjust_room(ctx.skb.skb, overhead as i32, BPF_ADJ_ROOM_MAC, flags) } != 0 {
        return Err(Reason::DropRewriteFailed);
    }
    F::write_outer(&skb, l3, &outer).ok_or(Reason::DropRewriteFailed)?;
    Ok(Handled::Redirected(way.redirect(ctx, l3)?))
}

/// The way of packets to the backend's own address.
#[inline(always)]
fn route<F: Tunnel>(ctx: &TcContext, outer: &Outer<F::Addr>) -> Result<crate::tc::route::Route, Reason> {
    let mut to = FlowValue {
        src: outer.src,
        dst: outer.dst,
        ..FlowValue::default()
    };
    let protocol = match outer.dispatch {
        Dispatch::Ipip => F::IPIP,
        Dispatch::Geneve => {
            to.sport = Be16::new(0xc000 | outer.entropy as u16);
            to.dport = GENEVE_PORT;
            proto::UDP
        }
    };
    F::route_outer(ctx, protocol, outer.class & 0xfc, &to)
}

/// What tells this flow's packets from others' on their way, and is the same for all of them.
#[inline(always)]
fn entropy<A: Address>(key: &FlowKey<A>) -> u32 {
    let ports = u32::from(key.sport.0) << 16 | u32::from(key.dport.0);
    // Fibonacci hashing: the high bits depend on all.
    (key.src.fold().rotate_left(7) ^ key.dst.fold() ^ ports)
        .wrapping_mul(0x9e37_79b9)
        .rotate_right(12)
}
