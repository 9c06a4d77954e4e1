//! Flows of the packet path: one entry for each direction, made together when a flow's first packet is load-balanced.

use crate::{balance, clock, config, maps::Tables};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_prandom_u32};
use kpr_abi::{
    FlowKey, FlowValue, Reason,
    flow::{YIELD_FIRST_SECONDS, YIELD_SECONDS, action, direction, state},
    proto,
};
use kpr_packet::tcp;

/// How often a new flow tries for a source port before it gives up. The first half of the attempts jump about, since taken
/// ports lie side by side; the second half go through a row of ports, which finds the last free ones of a small range.
const ATTEMPTS: u32 = 64;
const JUMPS: u32 = 32;

/// State bits that a packet of these TCP flags sets.
#[inline(always)]
pub fn state_of(tcp_flags: u8) -> u8 {
    let mut bits = state::SEEN;
    if tcp_flags & tcp::FIN != 0 {
        bits |= state::FIN;
    }
    if tcp_flags & tcp::RST != 0 {
        bits |= state::RST;
    }
    bits
}

/// The flow's translation for this packet, if the flow is known. Notes that a packet was seen.
#[inline(always)]
pub fn lookup<F: Tables>(key: &FlowKey<F::Addr>, tcp_flags: u8) -> Option<FlowValue<F::Addr>> {
    let value = F::flows().get_ptr_mut(key)?;
    // SAFETY: a map value that was just looked up. Its address fields never change; time and state are single words and
    // bytes, where the last of two writers wins.
    unsafe {
        let now = clock::now();
        if (*value).action == action::YIELD && is_over(&*value, now) {
            let _ = F::flows().remove(key);
            return None;
        }
        // A write would cost every CPU that shares the flow its cached copy: once a second is enough.
        if (*value).last_seen != now {
            (*value).last_seen = now;
        }
        let bits = state_of(tcp_flags);
        if (*value).state | bits != (*value).state {
            (*value).state |= bits;
        }
        Some(*value)
    }
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

/// Whether there are flows whose frontend is gone, NodePorts aside: the agent says so as long as it knows of any.
#[inline(always)]
pub fn any_lingers<F: Tables>() -> bool {
    // The look-up of an array is a bounds check and a load: it is not felt.
    F::lingering().get(0).is_some_and(|any| *any != 0)
}

/// Whether the flow may go on with its backend. Established TCP may in any case; a new connection on the same ports, and every
/// datagram, only with a backend that is still there.
#[inline(always)]
pub fn may_continue<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>, tcp_flags: u8) -> bool {
    if key.proto == proto::TCP {
        if !is_first(key.proto, tcp_flags) {
            return true;
        }
        if value.state & (state::FIN | state::RST) != 0 {
            return false;
        }
    }
    balance::still_is::<F>(value.backend, value.dst, value.dport, key.proto)
}

/// Whether this packet may begin a flow. Any datagram may; of TCP only a SYN.
#[inline(always)]
pub fn is_first(proto: u8, tcp_flags: u8) -> bool {
    proto != proto::TCP || tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN
}

/// Forgets both directions.
#[inline(always)]
pub fn remove<F: Tables>(key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) {
    // Either may be gone already: the table evicts and the agent sweeps.
    let _ = F::flows().remove(key.twin(value));
    let _ = F::flows().remove(key);
}

/// Makes both entries of a new flow. `value` is the wanted translation: its source port is only kept if it is free towards
/// the backend, else another of the SNAT range takes its place.
#[inline(always)]
pub fn create<F: Tables>(key: &FlowKey<F::Addr>, mut value: FlowValue<F::Addr>) -> Result<(), Reason> {
    let reply = FlowValue {
        src: key.dst,
        dst: key.src,
        sport: key.dport,
        dport: key.sport,
        backend: value.backend,
        last_seen: value.last_seen,
        state: 0,
        action: value.action,
        zero: 0,
    };
    // SAFETY: a helper without arguments.
    let start = unsafe { bpf_get_prandom_u32() };
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let answering = FlowKey::answering(&value, key.proto, direction::REPLY);
        if F::flows().insert(answering, reply, u64::from(BPF_NOEXIST)).is_ok() {
            return publish::<F>(key, &value, &answering);
        }
        if attempt == 0 && is_ours::<F>(&answering, &reply) {
            // The other half of this very flow was evicted: join them again.
            return publish::<F>(key, &value, &answering);
        }
        let offset = if attempt < JUMPS {
            // Fibonacci hashing: consecutive attempts land far from each other.
            start.wrapping_add(attempt).wrapping_mul(0x9e37_79b9)
        } else {
            start.wrapping_add(attempt)
        };
        value.sport = config::snat_port(offset);
        attempt += 1;
    }
    Err(Reason::DropSnatExhausted)
}

/// Whether the reply entry of this key answers the same client from the same frontend.
#[inline(always)]
fn is_ours<F: Tables>(answering: &FlowKey<F::Addr>, reply: &FlowValue<F::Addr>) -> bool {
    F::flows().get_ptr(answering).is_some_and(|known| {
        // SAFETY: a map value that was just looked up.
        let known = unsafe { &*known };
        known.src == reply.src && known.dst == reply.dst && known.sport == reply.sport && known.dport == reply.dport
    })
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
    value.action >= action::YIELD
}

/// Whether packets of this translation go on through the stack, or out of the device that they are leaving by.
#[inline(always)]
pub fn is_passed<A>(value: &FlowValue<A>) -> bool {
    value.action == action::PASS
}

/// Whether packets of this translation are sent out by the program itself.
#[inline(always)]
pub fn is_forwarded<A>(value: &FlowValue<A>) -> bool {
    value.action == action::FORWARD
}
