//! Flows of the packet path: one entry for each direction, made together when a flow's first packet is load-balanced.

use crate::{
    balance, clock, config, events, load,
    maps::{SNAT_FULL, SNAT_FULL_SLOTS, Tables},
};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_prandom_u32};
use kpr_abi::{
    Address, FlowKey, FlowValue, Reason, Way,
    flow::{YIELD_FIRST_SECONDS, YIELD_SECONDS, action, direction, state},
    proto,
};
use kpr_packet::signal;

/// How many source ports a new flow tries before it is refused. The first ones jump about, since taken ports lie side by side;
/// the others are a row, which finds the last free port of a range that is no longer. With 95 of 100 ports taken, 2 flows in a
/// million find none; with 99, 8 in a hundred.
const ATTEMPTS: u32 = 256;
/// As many as it tries in the rest of a second in which [`FAILURES`] flows to its backend found none: looking at so many ports for
/// each packet of a flood would be what the flood is after.
const ATTEMPTS_WHILE_FULL: u32 = 32;
const FAILURES: u32 = (1 << FAILURES_BITS) - 1;
const FAILURES_BITS: u32 = 4;
/// How often another CPU may take the port that was found free.
const RACES: u32 = 2;
/// What the kernel says of a key that is there already.
const EEXIST: i32 = 17;

/// State bits that a packet of these signals sets.
#[inline(always)]
pub fn state_of(signals: u8) -> u8 {
    let past = if signals & signal::OPENS == 0 {
        state::PAST_SYN
    } else {
        0
    };
    state::SEEN | signals & signal::LASTING | past
}

/// The flow's translation for this packet, if the flow is known. Notes that a packet was seen.
#[inline(always)]
pub fn lookup<F: Tables>(key: &FlowKey<F::Addr>, signals: u8) -> Option<FlowValue<F::Addr>> {
    let value = known::<F>(key)?;
    // SAFETY: a map value that was just looked up.
    Some(unsafe { counted::<F>(key, value, signals, clock::now()) })
}

/// The same for a packet that leaves, and may answer a flow of a local backend.
///
/// The client may speak with the backend past this node's frontends, too, and from the same port. The backend can't tell one
/// connection from the other: it takes a SYN of the flow for one that strayed into the connection that it has (RFC 5961 §4). So that
/// connection keeps the tuple. The flow is forgotten, and gets another source port with the SYN that its client sends again.
#[inline(always)]
pub fn lookup_answer<F: Tables>(key: &FlowKey<F::Addr>, signals: u8) -> Option<FlowValue<F::Addr>> {
    let value = known::<F>(key)?;
    // SAFETY: a map value that was just looked up.
    unsafe {
        if key.proto == proto::TCP && is_passed(&*value) && is_of_another::<F>(key, &*value, signals) {
            uncount::<F>(key, &*value);
            let there = key.twin(&*value);
            if peek::<F>(&there).is_some_and(|twin| twin.dst == key.src && twin.sport == key.dport) {
                let _ = F::flows().remove(there);
            }
            (*value).action = action::YIELD;
            seen(value, signals, clock::now());
            return None;
        }
        Some(counted::<F>(key, value, signals, clock::now()))
    }
}

/// Whether a packet of TCP is no answer of the flow whose tuple it has: the first answer accepts or refuses, and none accepts what
/// is over.
#[inline(always)]
fn is_of_another<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>, signals: u8) -> bool {
    let accepts = signals & signal::ACCEPTS != 0;
    if value.state & state::SEEN == 0 {
        return !accepts && signals & signal::ENDS == 0;
    }
    accepts
        && (value.state & (state::CLOSED | state::ENDED) != 0
            || peek::<F>(&key.twin(value)).is_none_or(|twin| twin.state & state::ENDED != 0))
}

/// The flow's entry, if its packets are sent out by the program that sees them. For [`counted`].
#[inline(always)]
pub fn forwarded<F: Tables>(key: &FlowKey<F::Addr>) -> Option<*mut FlowValue<F::Addr>> {
    // SAFETY: a map value that was just looked up.
    F::flows()
        .get_ptr_mut(key)
        .filter(|&value| is_forwarded(unsafe { &*value }))
}

/// The flow's entry. One of netfilter's that is over goes.
#[inline(always)]
fn known<F: Tables>(key: &FlowKey<F::Addr>) -> Option<*mut FlowValue<F::Addr>> {
    let value = F::flows().get_ptr_mut(key)?;
    // SAFETY: a map value that was just looked up.
    unsafe {
        if (*value).action == action::YIELD && is_over(&*value, clock::now()) {
            let _ = F::flows().remove(key);
            return None;
        }
    }
    Some(value)
}

/// Keeps the way of the flow's packets for the rest of this second.
#[inline(always)]
pub fn keep_way<F: Tables>(key: &FlowKey<F::Addr>, way: Way) {
    if let Some(value) = F::flows().get_ptr_mut(key) {
        // SAFETY: a map value that was just looked up.
        unsafe { write_way(value, way) }
    }
}

/// The same where the entry is at hand.
///
/// # Safety
///
/// `value` must be a map value that was just looked up.
#[inline(always)]
pub unsafe fn write_way<A>(value: *mut FlowValue<A>, way: Way) {
    let [to, from] = way.words();
    // SAFETY: the caller's promise; the halves are aligned words. The one that says that there is a way comes last.
    unsafe {
        let words: *mut u64 = (&raw mut (*value).way).cast();
        words.add(1).write_volatile(from);
        words.write_volatile(to);
    }
}

/// Notes that a packet was seen at this time ([`clock::now`]), and returns the entry as it is then.
///
/// # Safety
///
/// `value` must be a map value that was just looked up. Its address fields never change; time and state are single words and
/// bytes, where the last of two writers wins.
#[inline(always)]
unsafe fn seen<A: Address>(value: *mut FlowValue<A>, signals: u8, now: u32) -> FlowValue<A> {
    // SAFETY: the caller's promise.
    unsafe {
        // A write would cost every CPU that shares the flow its cached copy: once a second is enough.
        if (*value).last_seen != now {
            // The way is that of an earlier second. Before the time, or another CPU would take it for this one's.
            (&raw mut (*value).way).cast::<u64>().write_volatile(0);
            (*value).last_seen = now;
        }
        let bits = state_of(signals);
        if (*value).state | bits != (*value).state {
            (*value).state |= bits;
        }
        *value
    }
}

/// The same, and counts the connection off its backend if the packet ends it.
///
/// # Safety
///
/// As of [`seen`].
#[inline(always)]
pub unsafe fn counted<F: Tables>(
    key: &FlowKey<F::Addr>,
    value: *mut FlowValue<F::Addr>,
    signals: u8,
    now: u32,
) -> FlowValue<F::Addr> {
    // SAFETY: the caller's promise.
    let (before, after) = unsafe { ((*value).state, seen(value, signals, now)) };
    if load::counts() && before != after.state {
        let twin = other::<F>(key, &after);
        if !is_closed(before, twin) && is_closed(after.state, twin) {
            count_off::<F>(key, &after);
        }
    }
    after
}

/// State of the flow's other direction. Where that does not come by here, it is over when this one is.
#[inline(always)]
fn other<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) -> u8 {
    if is_tunnelled(value) {
        return state::CLOSED;
    }
    peek::<F>(&key.twin(value)).map_or(0, |twin| twin.state)
}

/// Whether a connection is over whose directions are in these states.
#[inline(always)]
fn is_closed(one: u8, other: u8) -> bool {
    (one | other) & state::ENDED != 0 || one & other & state::CLOSED != 0
}

/// Counts a connection off its backend that is to be forgotten, if that was not done when it was closed.
#[inline(always)]
fn uncount<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) {
    if load::counts() {
        let twin = other::<F>(key, value);
        if !is_closed(value.state, twin) {
            count_off::<F>(key, value);
        }
    }
}

#[inline(always)]
fn count_off<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) {
    let (addr, port) = if key.direction == direction::FORWARD {
        (value.dst, value.dport)
    } else {
        (key.src, key.sport)
    };
    load::ended::<F>(value.backend, addr, port, key.proto);
}

/// Whether netfilter has forgotten a flow of its own.
#[inline(always)]
fn is_over<A>(value: &FlowValue<A>, now: u32) -> bool {
    let limit = if value.state & state::SEEN == 0 {
        YIELD_FIRST_SECONDS
    } else {
        YIELD_SECONDS
    };
    now.wrapping_sub(value.last_seen) >= limit
}

/// The flow's translation, for something that is about the flow and not of it.
#[inline(always)]
pub fn peek<F: Tables>(key: &FlowKey<F::Addr>) -> Option<FlowValue<F::Addr>> {
    // SAFETY: a map value that was just looked up; its address fields never change.
    F::flows().get_ptr(key).map(|value| unsafe { *value })
}

/// Whether there are flows without a frontend, NodePorts aside: the agent says so as long as it knows of any.
#[inline(always)]
pub fn any_lingers<F: Tables>() -> bool {
    // The look-up of an array is a bounds check and a load: it is not felt.
    F::lingering().get(0).is_some_and(|any| *any != 0)
}

/// Has flows looked up whose frontend is gone, or which never had any.
#[inline(always)]
pub fn lingers<F: Tables>() {
    if let Some(any) = F::lingering().get_ptr_mut(0) {
        // SAFETY: an entry of an array, a single word that is set to the same by all.
        unsafe { *any = 1 };
    }
}

/// The backend of a flow which, to its local backend, is the connection that a packet of TCP would open, if it went there as it is.
#[inline(always)]
pub fn taken<F: Tables>(key: &FlowKey<F::Addr>, signals: u8) -> Option<u32> {
    if key.proto != proto::TCP || !is_first(signals) {
        return None;
    }
    let answer = FlowKey {
        src: key.dst,
        dst: key.src,
        sport: key.dport,
        dport: key.sport,
        direction: direction::REPLY,
        ..*key
    };
    let known = peek::<F>(&answer)?;
    let is_over = known.state & (state::CLOSED | state::ENDED) != 0;
    (is_passed(&known) && !is_over && known.backend != 0).then_some(known.backend)
}

/// Whether the flow may go on with its backend. Established TCP and SCTP may in any case; a new connection on the same
/// ports, and every datagram, only with a backend that is still there.
#[inline(always)]
pub fn may_continue<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>, signals: u8) -> bool {
    if !is_first(signals) {
        return true;
    }
    if value.state & (state::CLOSED | state::ENDED) != 0 {
        return false;
    }
    balance::still_serves::<F>(value.backend, value.dst, value.dport, key.proto)
}

/// Whether this packet may begin a flow. Any datagram may; of TCP only a SYN, of SCTP only an INIT.
#[inline(always)]
pub fn is_first(signals: u8) -> bool {
    signals & signal::OPENS != 0
}

/// Forgets both directions.
#[inline(always)]
pub fn remove<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) {
    uncount::<F>(key, value);
    // Either may be gone already: the table evicts and the agent sweeps.
    let _ = F::flows().remove(key.twin(value));
    let _ = F::flows().remove(key);
}

/// Makes both entries of a new flow. `value` is the wanted translation: its source port is only kept if it is free towards
/// the backend, else another of the SNAT range takes its place, if a free one is found.
#[inline(always)]
pub fn create<F: Tables>(key: &FlowKey<F::Addr>, mut value: FlowValue<F::Addr>) -> Result<(), Reason> {
    let reply = reply(key, &value);
    let mut answering = FlowKey::answering(&value, key.proto, direction::REPLY);
    match F::flows().get_ptr_mut(answering) {
        // The other half of this very flow was evicted: join them again. Whatever was seen was of an earlier connection.
        // SAFETY: a map value that was just looked up; a single byte.
        Some(known) if is_ours(known, &reply) => unsafe { (*known).state = 0 },
        _ => insert::<F>(&mut answering, reply)?,
    }
    value.sport = answering.dport;
    events::flow(key, &value);
    events::begins();
    publish::<F>(key, &value, &answering)
}

/// Makes the only entry of a flow whose answers do not come by here. Another CPU may have been first with the same flow.
#[inline(always)]
pub fn create_one_way<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) -> Result<(), Reason> {
    match F::flows().insert(key, value, u64::from(BPF_NOEXIST)) {
        Ok(()) => Ok(()),
        Err(error) if error == -EEXIST => Ok(()),
        Err(_) => Err(Reason::DropFlowTableFull),
    }
}

/// Makes both entries of a flow that is refused, in the place of an earlier one's with the same tuple: that one had its answer.
#[inline(always)]
pub fn create_refused<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) -> Result<(), Reason> {
    let answering = FlowKey::answering(value, key.proto, direction::REPLY);
    F::flows()
        .insert(answering, reply(key, value), 0)
        .and_then(|()| F::flows().insert(key, value, 0))
        .map_err(|_| Reason::DropFlowTableFull)
}

/// What becomes of packets that answer the flow's.
#[inline(always)]
fn reply<A: Address>(key: &FlowKey<A>, value: &FlowValue<A>) -> FlowValue<A> {
    FlowValue {
        src: key.dst,
        dst: key.src,
        sport: key.dport,
        dport: key.sport,
        backend: value.backend,
        last_seen: value.last_seen,
        // A flow that becomes known in its middle was answered before.
        state: if value.state & state::PAST_SYN == 0 {
            0
        } else {
            state::SEEN
        },
        action: value.action,
        device: value.device,
        way: Way::default(),
    }
}

/// Inserts the reply's entry of a new flow, with another source port if this one is taken.
#[inline(always)]
fn insert<F: Tables>(answering: &mut FlowKey<F::Addr>, reply: FlowValue<F::Addr>) -> Result<(), Reason> {
    let mut race = 0;
    while race < RACES {
        if !find_free::<F>(answering, reply.backend) {
            break;
        }
        match F::flows().insert(*answering, reply, u64::from(BPF_NOEXIST)) {
            Ok(()) => return Ok(()),
            Err(error) if error == -EEXIST => {}
            Err(_) => return Err(Reason::DropFlowTableFull),
        }
        race += 1;
    }
    Err(Reason::RefuseSnatExhausted)
}

/// Finds a source port that is free. Only looks: an insertion makes room before it finds its key taken, and may evict another flow
/// for nothing.
#[inline(always)]
fn find_free<F: Tables>(answering: &mut FlowKey<F::Addr>, backend: u32) -> bool {
    let full = SNAT_FULL.get_ptr_mut(backend % SNAT_FULL_SLOTS);
    let second = clock::now() << FAILURES_BITS;
    // SAFETY: a map value that was just looked up; single words, where the last of two writers wins.
    let failures = full.map_or(0, |full| unsafe { (*full).wrapping_sub(second) });
    // More than there can be in this second: they are of another one.
    let failures = if failures > FAILURES { 0 } else { failures };
    let attempts = if failures == FAILURES {
        ATTEMPTS_WHILE_FULL
    } else {
        ATTEMPTS
    };
    // SAFETY: a helper without arguments.
    let start = unsafe { bpf_get_prandom_u32() };
    let mut attempt = 0;
    while attempt < attempts {
        if F::flows().get_ptr(*answering).is_none() {
            return true;
        }
        let offset = if attempt < ATTEMPTS / 2 {
            // Fibonacci hashing: consecutive attempts land far from each other.
            start.wrapping_add(attempt).wrapping_mul(0x9e37_79b9)
        } else {
            start.wrapping_add(attempt)
        };
        answering.dport = config::snat_port(offset);
        attempt += 1;
    }
    if let Some(full) = full {
        // SAFETY: as above.
        unsafe { *full = second + if failures == FAILURES { FAILURES } else { failures + 1 } };
    }
    false
}

/// Whether this reply entry answers the same client from the same frontend.
#[inline(always)]
fn is_ours<A: Address>(known: *const FlowValue<A>, reply: &FlowValue<A>) -> bool {
    // SAFETY: a map value that was just looked up.
    let known = unsafe { &*known };
    known.src == reply.src
        && known.dst == reply.dst
        && known.sport == reply.sport
        && known.dport == reply.dport
        && known.action == reply.action
}

/// Inserts the forward entry; another CPU may have been first with the same flow, then its translation holds.
#[inline(always)]
fn publish<F: Tables>(
    key: &FlowKey<F::Addr>,
    value: &FlowValue<F::Addr>,
    answering: &FlowKey<F::Addr>,
) -> Result<(), Reason> {
    if F::flows().insert(key, value, u64::from(BPF_NOEXIST)).is_ok() {
        return Ok(());
    }
    let Some(first) = F::flows().get_ptr(key) else {
        let _ = F::flows().remove(answering);
        return Err(Reason::DropFlowTableFull);
    };
    // SAFETY: a map value that was just looked up.
    let first = unsafe { &*first };
    let is_same = answering.src == first.dst
        && answering.dst == first.src
        && answering.sport == first.dport
        && answering.dport == first.sport;
    if !is_same {
        let _ = F::flows().remove(answering);
    }
    Ok(())
}

/// Whether netfilter translates the flow's packets, now or in a moment.
#[inline(always)]
pub fn is_yielded<A>(value: &FlowValue<A>) -> bool {
    matches!(value.action, action::YIELD | action::HOLD)
}

/// Whether packets of this translation go on through the stack, or out of the device that they are leaving by.
#[inline(always)]
pub fn is_passed<A>(value: &FlowValue<A>) -> bool {
    value.action == action::PASS
}

/// Whether packets of this translation are encapsulated for the backend's node.
#[inline(always)]
pub fn is_tunnelled<A>(value: &FlowValue<A>) -> bool {
    value.action == action::TUNNEL
}

/// Whether packets of this translation are sent out by the program itself.
#[inline(always)]
pub fn is_forwarded<A>(value: &FlowValue<A>) -> bool {
    value.action == action::FORWARD
}
