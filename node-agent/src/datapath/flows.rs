//! Ages the flows of the packet path: which entries may go. The decision is pure; the kernel's table is LRU, so a late sweep
//! costs room, not correctness.

use super::tables::{MapFamily, PacketTables};
use kpr_abi::{
    FlowKey, FlowValue,
    flow::{YIELD_FIRST_SECONDS, YIELD_SECONDS, action, direction, state},
    proto,
};
use std::collections::HashMap;

/// Idle times in seconds after which a flow is forgotten. The defaults are those of `nf_conntrack`, which kube-proxy leaves
/// to the kernel or sets to the same (`tcpEstablishedTimeout`, `tcpCloseWaitTimeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, seen both ways.
    pub tcp_established: u32,
    /// TCP, no answer yet.
    pub tcp_syn: u32,
    /// TCP, one side closed.
    pub tcp_close_wait: u32,
    /// TCP, both sides closed or reset.
    pub tcp_closed: u32,
    /// UDP, seen both ways.
    pub udp_stream: u32,
    /// UDP, no answer yet.
    pub udp: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: 86_400,
            tcp_syn: 120,
            tcp_close_wait: 3_600,
            tcp_closed: 10,
            udp_stream: 120,
            udp: 30,
        }
    }
}

impl Timeouts {
    /// How long a flow in this state may be idle.
    fn idle(&self, proto: u8, forward: u8, reply: u8, yielded: bool) -> u32 {
        if yielded {
            // Only its forward packets pass here; it goes when netfilter has forgotten it.
            return if forward & state::SEEN == 0 {
                YIELD_FIRST_SECONDS
            } else {
                YIELD_SECONDS
            };
        }
        let both = |bit: u8| forward & reply & bit != 0;
        let either = |bit: u8| (forward | reply) & bit != 0;
        if proto == proto::TCP {
            if either(state::RST) || both(state::FIN) {
                self.tcp_closed
            } else if either(state::FIN) {
                self.tcp_close_wait
            } else if both(state::SEEN) {
                self.tcp_established
            } else {
                self.tcp_syn
            }
        } else if both(state::SEEN) {
            self.udp_stream
        } else {
            self.udp
        }
    }
}

/// What the flow table holds.
pub(super) type Entries<A> = HashMap<FlowKey<A>, FlowValue<A>>;

/// One pass over the flow table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Entries that stay.
    pub live: u32,
    /// Entries that were removed.
    pub expired: u32,
}

/// The keys whose flows have been idle for too long. A flow is as fresh as its fresher direction; both directions go together.
fn expired<A>(entries: &HashMap<FlowKey<A>, FlowValue<A>>, now: u32, timeouts: &Timeouts) -> Vec<FlowKey<A>>
where
    A: kpr_abi::Address,
{
    let is_expired = |(key, value): (&FlowKey<A>, &FlowValue<A>)| {
        let twin = entries.get(&key.twin(value));
        let (own, other) = (value.state, twin.map_or(0, |twin| twin.state));
        let (forward, reply) = if key.direction == direction::FORWARD {
            (own, other)
        } else {
            (other, own)
        };
        let last = value.last_seen.max(twin.map_or(0, |twin| twin.last_seen));
        let yielded = value.action == action::YIELD;
        now.saturating_sub(last) >= timeouts.idle(key.proto, forward, reply, yielded)
    };
    entries
        .iter()
        .filter(|entry| is_expired(*entry))
        .map(|(key, _)| *key)
        .collect()
}

/// Removes expired flows from the table, and returns those that stay, too.
pub(super) fn sweep<F: MapFamily>(
    tables: &mut PacketTables<F>,
    now: u32,
    timeouts: &Timeouts,
) -> (Sweep, Entries<F::Addr>) {
    let mut entries = HashMap::new();
    for entry in &tables.flows {
        // An entry may be evicted while the table is read: the iteration goes on from the start then, and may end early.
        let Ok((key, value)) = entry else { break };
        entries.insert(key, value);
    }
    let expired = expired(&entries, now, timeouts);
    let mut removed = 0;
    for key in &expired {
        // Gone already, or seen again since: a fresh packet makes its entries anew.
        if tables
            .flows
            .get(key, 0)
            .is_ok_and(|value| entries.get(key).is_some_and(|old| old.last_seen == value.last_seen))
            && tables.flows.remove(key).is_ok()
        {
            entries.remove(key);
            removed += 1;
        }
    }
    let sweep = Sweep {
        live: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        expired: removed,
    };
    (sweep, entries)
}

/// Seconds of the clock that flows are aged by: `CLOCK_MONOTONIC_COARSE`, as `bpf_ktime_get_coarse_ns` reads it.
pub(super) fn now() -> u32 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| time.tv_sec());
    u32::try_from(time).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kpr_abi::{Addr4, Be16};

    /// A flow of which each direction was last seen, and in which state, as given.
    fn flow(proto: u8, forward: (u32, u8), reply: (u32, u8)) -> HashMap<FlowKey<Addr4>, FlowValue<Addr4>> {
        let key = FlowKey {
            src: Addr4(1),
            dst: Addr4(2),
            sport: Be16(3),
            dport: Be16(4),
            proto,
            direction: 0,
            zero: 0,
        };
        let to = FlowValue {
            src: Addr4(5),
            dst: Addr4(6),
            sport: Be16(7),
            dport: Be16(8),
            last_seen: forward.0,
            state: forward.1,
            ..FlowValue::default()
        };
        let back = FlowValue {
            src: key.dst,
            dst: key.src,
            sport: key.dport,
            dport: key.sport,
            last_seen: reply.0,
            state: reply.1,
            ..FlowValue::default()
        };
        HashMap::from([(key, to), (key.twin(&to), back)])
    }

    #[test]
    fn each_state_has_its_own_idle_time() {
        use state::{FIN, RST, SEEN};
        for (name, proto, forward, reply, idle) in [
            ("tcp established", proto::TCP, SEEN, SEEN, 86_400),
            ("tcp without an answer", proto::TCP, SEEN, 0, 120),
            ("tcp half closed", proto::TCP, SEEN | FIN, SEEN, 3_600),
            ("tcp closed", proto::TCP, SEEN | FIN, SEEN | FIN, 10),
            ("tcp reset", proto::TCP, SEEN, SEEN | RST, 10),
            ("udp answered", proto::UDP, SEEN, SEEN, 120),
            ("udp without an answer", proto::UDP, SEEN, 0, 30),
        ] {
            let entries = flow(proto, (1_000, forward), (1_000, reply));
            assert_eq!(
                expired(&entries, 1_000 + idle - 1, &Timeouts::default()),
                [],
                "{name}: just before"
            );
            assert_eq!(
                expired(&entries, 1_000 + idle, &Timeouts::default()).len(),
                2,
                "{name}: both directions go"
            );
        }
    }

    #[test]
    fn a_flow_of_netfilters_is_forgotten_when_netfilter_has_forgotten_it() {
        let mut entries = flow(proto::UDP, (1_000, state::SEEN), (1_000, state::SEEN));
        entries.retain(|key, _| key.direction == direction::FORWARD);
        for value in entries.values_mut() {
            value.action = action::YIELD;
        }
        assert_eq!(expired(&entries, 1_119, &Timeouts::default()), []);
        assert_eq!(expired(&entries, 1_120, &Timeouts::default()).len(), 1);
    }

    #[test]
    fn a_flow_is_as_fresh_as_its_fresher_direction() {
        let entries = flow(proto::UDP, (1_000, state::SEEN), (1_100, state::SEEN));
        assert_eq!(expired(&entries, 1_200, &Timeouts::default()), []);
    }

    #[test]
    fn a_direction_whose_other_half_was_evicted_goes_by_its_own_time() {
        let mut entries = flow(proto::TCP, (1_000, state::SEEN), (1_000, state::SEEN));
        entries.retain(|key, _| key.direction == direction::FORWARD);
        assert_eq!(expired(&entries, 1_120, &Timeouts::default()).len(), 1);
    }
}
