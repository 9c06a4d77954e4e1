//! Packets of flows with remote backends: requests, and the replies to them.

use super::{
    frame::{ETHERNET, Frame},
    leave,
};
use crate::{
    clock, config, events, flow,
    headers::Headers,
    maps::Tables,
    screen,
    service_counts::{self, Size},
};
use kpr_abi::{FlowValue, flow::direction, proto};
use kpr_packet::{Packet, Parsed, Window};

/// Translates a packet of a flow that is known and sends it on its way: the verdict. `None`: it goes up, as it came.
#[inline(always)]
pub fn handle<F: Headers>(frame: &Frame) -> Option<u32> {
    let destination = F::destination(frame, ETHERNET)?;
    if !screen::may_be_sent_on::<F>(destination) {
        return None;
    }
    let mut parsed = Parsed::default();
    F::parse(frame, ETHERNET, &mut parsed).ok()?;
    let is_udp = parsed.key.proto == proto::UDP;
    let known = find::<F>(&mut parsed)?;
    // SAFETY: a map value that was just looked up; its address fields never change.
    let to: FlowValue<F::Addr> = unsafe { *known };
    if parsed.hops <= 1 {
        return None;
    }
    let length = F::length(frame, ETHERNET)?;
    let checksum: Window<2> = frame.window(parsed.l4 + if is_udp { 6 } else { 16 })?;
    let old = checksum.u16::<0>();
    if old == F::pseudo_sum(&parsed.key, length.wrapping_sub((parsed.l4 - ETHERNET) as u16)) {
        return None;
    }
    let now = clock::now();
    let remembers = to.way.is_known() && to.last_seen == now;
    let leave = if remembers {
        leave::again(frame, to.way, length)?
    } else {
        let params = F::way(frame.ifindex(), parsed.key.proto, parsed.class, &to);
        leave::find(frame, params, length)?
    };
    events::tuple(&parsed.key);
    events::flow(&parsed.key, &to);
    // From here on nothing fails.
    let size = || Size {
        packets: 1,
        bytes: length.into(),
    };
    service_counts::packet::<F>(&parsed.key, &to, false, size);
    let change = F::rewrite(frame, &parsed, &to, true)?;
    // A UDP checksum of 0 says that there is none (RFC 768): it stays so, and none becomes 0.
    if !is_udp || old != 0 {
        let new = change.pseudo.and(change.ports).apply(old);
        checksum.set_u16::<0>(if is_udp && new == 0 { !0 } else { new });
    }
    frame.address(leave.way.to, leave.way.from)?;
    // SAFETY: as above.
    unsafe {
        flow::counted::<F>(&parsed.key, known, parsed.signals, now);
        if !remembers {
            flow::write_way(known, leave.way);
        }
    }
    Some(leave.verdict)
}

/// The flow of a packet, if its packets are sent out by the program, and go on: an answer of a remote backend comes to a port of the SNAT
/// range. Leaves in the packet's key which way of the flow it goes.
#[inline(always)]
fn find<F: Tables>(parsed: &mut Parsed<F::Addr>) -> Option<*mut FlowValue<F::Addr>> {
    let key = &mut parsed.key;
    if config::is_snat_port(key.dport) {
        key.direction = direction::REPLY;
        let known = flow::forwarded::<F>(key);
        if known.is_some() {
            return known;
        }
        key.direction = direction::FORWARD;
    }
    let known = flow::forwarded::<F>(key)?;
    // SAFETY: a map value that was just looked up.
    flow::may_continue::<F>(key, unsafe { &*known }, parsed.signals).then_some(known)
}
