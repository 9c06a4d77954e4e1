//! Somebody listens.
//!
//! A packet is handled in steps, each of which notes what it has found in this CPU's record; with each reason that is counted, the record is
//! told as it is then. Socket calls can be interrupted by packets, and by other socket calls: each writes its event where it is told.

use crate::socket::address::{Addr, Call as _, SocketAddress};
use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_prandom_u32,
        bpf_ktime_get_ns,
    },
    macros::map,
    maps::{Array, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use kpr_abi::{
    Address, Be16, Event, FlowKey, FlowValue, PeerValue, Reason, ServiceValue, Slice,
    event::{NOTHING, Wanted, hook, step},
    flow::direction,
    service::flags,
};

/// The agent sets the size.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static EVENTS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EVENTS_WANTED: Array<Wanted> = Array::with_max_entries(1, 0);
#[map]
static EVENTS_RECORD: PerCpuArray<Event> = PerCpuArray::with_max_entries(1, 0);

/// Adds to the record of this CPU's packet.
#[inline(always)]
fn note(add: impl FnOnce(&mut Event)) {
    if let Some(record) = EVENTS_RECORD.get_ptr_mut(0) {
        // SAFETY: this CPU's own entry, which nothing else uses until the packet is through.
        add(unsafe { &mut *record });
    }
}

/// A packet comes to the hook, by the device of this index.
#[inline(always)]
pub fn began(hook: u8, device: impl FnOnce() -> u32) {
    note(|record| {
        *record = Event {
            hook,
            device: device(),
            what: NOTHING,
            ..Event::default()
        };
    });
}

/// The packet's addresses and ports, as it came.
#[inline(always)]
pub fn tuple<A: Address>(key: &FlowKey<A>) {
    note(|record| {
        record.client = key.src.words();
        record.frontend = key.dst.words();
        record.client_port = key.sport;
        record.frontend_port = key.dport;
        record.family = family::<A>();
        record.proto = key.proto;
        record.steps |= step::TUPLE;
    });
}

/// It is inside of another one, from another node.
#[inline(always)]
pub fn encapsulated() {
    note(|record| record.steps |= step::ENCAPSULATED);
}

/// The frontend that it is for: one of exactly its destination, or one on any address of the node.
#[inline(always)]
pub fn frontend(service: &ServiceValue, exact: bool) {
    note(|record| {
        record.service = service.id;
        record.service_flags = service.flags;
        record.steps |= step::FRONTEND | if exact { 0 } else { step::ANY_ADDRESS };
    });
}

/// The list of backends that it may have.
#[inline(always)]
pub fn candidates(list: Slice) {
    note(|record| {
        record.base = list.base;
        record.len = list.len;
        record.steps |= step::CANDIDATES;
    });
}

/// Its client is in the frontend's source ranges.
#[inline(always)]
pub fn admitted() {
    note(|record| record.steps |= step::ADMITTED);
}

/// The backend of the flow that it begins.
#[inline(always)]
pub fn chosen<A: Address>(value: &FlowValue<A>) {
    note(|record| {
        record.backend = value.dst.words();
        record.backend_port = value.dport;
        record.backend_id = value.backend;
        record.action = value.action;
        record.steps |= step::CHOSEN;
    });
}

/// The flow that it is of.
#[inline(always)]
pub fn flow<A: Address>(key: &FlowKey<A>, value: &FlowValue<A>) {
    note(|record| {
        record.backend_id = value.backend;
        record.action = value.action;
        record.steps |= step::FLOW;
        if key.direction == direction::FORWARD {
            record.backend = value.dst.words();
            record.backend_port = value.dport;
            record.source = value.src.words();
            record.source_port = value.sport;
        } else {
            record.client = value.dst.words();
            record.client_port = value.dport;
            record.frontend = value.src.words();
            record.frontend_port = value.sport;
            record.backend = key.src.words();
            record.backend_port = key.sport;
            record.source = key.dst.words();
            record.source_port = key.dport;
            record.steps |= step::REPLY;
        }
    });
}

/// The flow was made for it.
#[inline(always)]
pub fn begins() {
    note(|record| record.steps |= step::BEGAN);
}

/// The device that it leaves by.
#[inline(always)]
pub fn leaves(ifindex: u32) {
    note(|record| record.out = ifindex);
}

/// Tells of the packet.
#[inline(always)]
pub fn packet(reason: Reason) {
    let Some(sample) = sample(reason) else { return };
    note(|record| {
        record.what = reason as u32;
        record.sample = sample;
        record.time = now();
        if EVENTS.output::<Event>(&*record, 0).is_err() {
            lost();
        }
    });
}

/// Tells of a socket call to a frontend, and returns what becomes of it.
#[inline(always)]
pub fn call<S: SocketAddress>(
    hook: u8,
    ctx: &S::Call,
    (addr, port, proto): (Addr<S>, Be16, u8),
    service: &ServiceValue,
    outcome: Result<PeerValue<Addr<S>>, Reason>,
) -> Result<PeerValue<Addr<S>>, Reason> {
    let (reason, peer) = match &outcome {
        Ok(peer) => (Reason::SocketTranslated, *peer),
        Err(reason) => (*reason, PeerValue::default()),
    };
    let local_only = service.flags & flags::INTERNAL_LOCAL != 0;
    let list = if local_only { service.local } else { service.cluster };
    // Not by `tell`: a closure of two callers is left a function, whose stack is one too many.
    if let Some(mut room) = reserve(reason) {
        let event = room.write(begun(reason));
        event.hook = hook;
        event.netns = ctx.netns();
        ctx.identify(event);
        event.frontend = addr.words();
        event.frontend_port = port;
        event.family = family::<Addr<S>>();
        event.proto = proto;
        event.backend = peer.backend.words();
        event.backend_port = peer.backend_port;
        event.backend_id = peer.backend_id;
        event.service = service.id;
        event.service_flags = service.flags;
        event.base = list.base;
        event.len = list.len;
        event.steps = step::TUPLE | step::FRONTEND;
        if list.len != 0 {
            event.steps |= step::CANDIDATES;
        }
        if outcome.is_ok() {
            event.steps |= step::ADMITTED | step::CHOSEN;
        }
        room.submit(0);
    }
    outcome
}

/// Tells of a socket that may not have the port.
#[inline(always)]
pub fn bind<A: Address>(addr: A, port: Be16, proto: u8) {
    tell(Reason::SocketBindRefused, |event| {
        event.hook = hook::BIND;
        event.frontend = addr.words();
        event.frontend_port = port;
        event.family = family::<A>();
        event.proto = proto;
        event.steps = step::TUPLE | step::FRONTEND;
        identify(event);
    });
}

/// Tells of a call.
#[inline(always)]
fn tell(reason: Reason, fill: impl FnOnce(&mut Event)) {
    if let Some(mut room) = reserve(reason) {
        fill(room.write(begun(reason)));
        room.submit(0);
    }
}

/// Room for an event, if it is to be told.
#[inline(always)]
fn reserve(reason: Reason) -> Option<RingBufEntry<Event>> {
    sample(reason)?;
    let room = EVENTS.reserve::<Event>(0);
    if room.is_none() {
        lost();
    }
    room
}

/// An event of which nothing is known yet but what and when.
#[inline(always)]
fn begun(reason: Reason) -> Event {
    Event {
        what: reason as u32,
        sample: EVENTS_WANTED.get(0).map_or(1, |wanted| wanted.sample),
        time: now(),
        ..Event::default()
    }
}

/// Adds which process calls, on a hook that is one's call.
#[inline(always)]
pub fn identify(event: &mut Event) {
    // SAFETY: a helper without arguments.
    event.cgroup = unsafe { bpf_get_current_cgroup_id() };
    event.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    event.process = bpf_get_current_comm().unwrap_or_default();
}

/// Of how many such events this is to be told for all, if it is.
#[inline(always)]
fn sample(reason: Reason) -> Option<u32> {
    let wanted = EVENTS_WANTED.get(0)?;
    let sample = wanted.sample;
    if sample == 0 || wanted.reasons >> (reason as u32) & 1 == 0 {
        return None;
    }
    // SAFETY: a helper without arguments.
    if sample > 1 && unsafe { bpf_get_prandom_u32() }.checked_rem(sample) != Some(0) {
        return None;
    }
    Some(sample)
}

#[inline(always)]
fn lost() {
    if let Some(lost) = EVENTS_LOST.get_ptr_mut(0) {
        // SAFETY: this CPU's own slot, as of the counters.
        unsafe { *lost += 1 }
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
const fn family<A>() -> u8 {
    if size_of::<A>() == 4 { 4 } else { 6 }
}
