//! Whether a flow may go. Pure.

use super::{FlowState, Timeouts};
use kpr_abi::{
    Address, FlowKey, FlowValue,
    flow::{action, direction, state},
};

/// Whether the flow is over: reset by a side, or closed by both. As the programs see it (`flow::is_closed`).
pub(super) fn is_closed<A>(value: &FlowValue<A>, twin: Option<&FlowValue<A>>) -> bool {
    let other = if value.action == action::TUNNEL {
        // That direction does not come by here.
        state::CLOSED
    } else {
        twin.map_or(0, |twin| twin.state)
    };
    let one = value.state;
    (one | other) & state::ENDED != 0 || one & other & state::CLOSED != 0
}

/// Whether the flow of this entry has been idle for too long. `twin`: its other direction, if it is there. A flow is as fresh as
/// its fresher direction.
pub(super) fn is_expired<A: Address>(
    key: &FlowKey<A>,
    value: &FlowValue<A>,
    twin: Option<&FlowValue<A>>,
    now: u32,
    timeouts: &Timeouts,
) -> bool {
    let last_seen = value.last_seen.max(twin.map_or(0, |twin| twin.last_seen));
    now.saturating_sub(last_seen) >= limit(key, value, twin, timeouts)
}

/// How long the flow may be idle.
pub(super) fn limit<A: Address>(
    key: &FlowKey<A>,
    value: &FlowValue<A>,
    twin: Option<&FlowValue<A>>,
    timeouts: &Timeouts,
) -> u32 {
    let (forward, reply) = directions(key, value, twin);
    match value.action {
        action::TUNNEL => timeouts.one_way(key.proto, value.state),
        other => timeouts.idle(key.proto, forward, reply, other == action::YIELD),
    }
}

/// In which state the flow is.
pub(super) fn state_of<A: Address>(key: &FlowKey<A>, value: &FlowValue<A>, twin: Option<&FlowValue<A>>) -> FlowState {
    let (forward, reply) = directions(key, value, twin);
    match value.action {
        action::TUNNEL => FlowState::one_way(key.proto, value.state),
        // Only its forward packets pass here.
        action::YIELD if forward & state::SEEN != 0 => FlowState::Established,
        action::YIELD => FlowState::Opening,
        _ => FlowState::of(key.proto, forward, reply),
    }
}

/// The state bits of its two directions.
fn directions<A: Address>(key: &FlowKey<A>, value: &FlowValue<A>, twin: Option<&FlowValue<A>>) -> (u8, u8) {
    let (own, other) = (value.state, twin.map_or(0, |twin| twin.state));
    if key.direction == direction::FORWARD {
        (own, other)
    } else {
        (other, own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kpr_abi::{Addr4, Be16, proto};

    type Entry = (FlowKey<Addr4>, FlowValue<Addr4>);

    /// A flow of which each direction was last seen, and in which state, as given.
    fn flow(proto: u8, forward: (u32, u8), reply: (u32, u8)) -> [Entry; 2] {
        let key = FlowKey {
            src: Addr4(1),
            dst: Addr4(2),
            sport: Be16(3),
            dport: Be16(4),
            proto,
            direction: direction::FORWARD,
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
        [(key, to), (key.twin(&to), back)]
    }

    /// Whether each of the two entries says that the flow may go.
    fn expired([there, back]: &[Entry; 2], now: u32) -> [bool; 2] {
        let timeouts = Timeouts::default();
        [(there, back), (back, there)]
            .map(|(entry, twin)| is_expired(&entry.0, &entry.1, Some(&twin.1), now, &timeouts))
    }

    #[test]
    fn each_state_has_its_own_idle_time_seen_from_either_direction() {
        use state::{CLOSED, ENDED, PAST_SYN, SEEN};
        const DATA: u8 = SEEN | PAST_SYN;
        for (name, proto, forward, reply, idle) in [
            ("tcp established", proto::TCP, DATA, DATA, 86_400),
            ("tcp established, silent server", proto::TCP, DATA, SEEN, 86_400),
            ("tcp without an answer", proto::TCP, SEEN, 0, 120),
            (
                "tcp with an answer that the client never heard",
                proto::TCP,
                SEEN,
                SEEN,
                60,
            ),
            ("tcp closed by the client", proto::TCP, DATA | CLOSED, DATA, 3_600),
            ("tcp closed by the server", proto::TCP, DATA, DATA | CLOSED, 3_600),
            ("tcp closed", proto::TCP, DATA | CLOSED, DATA | CLOSED, 60),
            ("tcp refused", proto::TCP, SEEN, DATA | ENDED, 10),
            ("tcp reset by the client", proto::TCP, DATA | ENDED, DATA, 10),
            ("sctp established", proto::SCTP, DATA, DATA, 210),
            ("sctp without an answer", proto::SCTP, SEEN, 0, 3),
            ("sctp shutting down", proto::SCTP, DATA | CLOSED, DATA, 3),
            (
                "sctp shut down, not yet confirmed",
                proto::SCTP,
                DATA | CLOSED,
                DATA | CLOSED,
                3,
            ),
            ("sctp shut down", proto::SCTP, DATA | CLOSED | ENDED, DATA | CLOSED, 10),
            ("sctp aborted", proto::SCTP, SEEN, SEEN | ENDED, 10),
            ("udp answered", proto::UDP, DATA, DATA, 120),
            ("udp without an answer", proto::UDP, DATA, 0, 30),
        ] {
            let flow = flow(proto, (1_000, forward), (1_000, reply));
            assert_eq!(expired(&flow, 1_000 + idle - 1), [false; 2], "{name}: just before");
            assert_eq!(expired(&flow, 1_000 + idle), [true; 2], "{name}: both directions go");
        }
    }

    #[test]
    fn a_flow_is_as_fresh_as_its_fresher_direction() {
        let flow = flow(proto::UDP, (1_000, state::SEEN), (1_100, state::SEEN));
        assert_eq!(expired(&flow, 1_200), [false; 2]);
        assert_eq!(expired(&flow, 1_220), [true; 2]);
    }

    #[test]
    fn a_flow_of_netfilters_is_forgotten_when_netfilter_has_forgotten_it() {
        let (key, value) = flow(proto::TCP, (1_000, state::SEEN), (1_000, state::SEEN))[0];
        let yielded = FlowValue {
            action: action::YIELD,
            ..value
        };
        let expired = |now| is_expired(&key, &yielded, None, now, &Timeouts::default());
        assert_eq!([expired(1_119), expired(1_120)], [false, true]);
    }

    #[test]
    fn a_flow_of_which_only_the_clients_packets_pass_ages_by_them() {
        use state::{CLOSED, ENDED, PAST_SYN, SEEN};
        const DATA: u8 = SEEN | PAST_SYN;
        for (name, proto, forward, idle) in [
            ("tcp, hands not shaken", proto::TCP, SEEN, 120),
            ("tcp established", proto::TCP, DATA, 86_400),
            ("tcp closed by the client", proto::TCP, DATA | CLOSED, 120),
            ("tcp reset by the client", proto::TCP, DATA | ENDED, 10),
            ("sctp, hands not shaken", proto::SCTP, SEEN, 3),
            ("sctp established", proto::SCTP, DATA, 210),
            ("sctp shut down by the client", proto::SCTP, DATA | CLOSED, 10),
            ("udp", proto::UDP, SEEN, 120),
        ] {
            let (key, value) = flow(proto, (1_000, forward), (1_000, 0))[0];
            let tunnelled = FlowValue {
                action: action::TUNNEL,
                ..value
            };
            let expired = |now| is_expired(&key, &tunnelled, None, now, &Timeouts::default());
            assert_eq!(
                [expired(1_000 + idle - 1), expired(1_000 + idle)],
                [false, true],
                "{name}"
            );
        }
    }

    #[test]
    fn a_direction_whose_other_half_was_evicted_goes_by_its_own_time() {
        let data = state::SEEN | state::PAST_SYN;
        for (at, idle) in [(0, 120), (1, 120)] {
            let (key, value) = flow(proto::TCP, (1_000, data), (1_000, data))[at];
            let timeouts = Timeouts::default();
            assert!(!is_expired(&key, &value, None, 1_000 + idle - 1, &timeouts));
            assert!(is_expired(&key, &value, None, 1_000 + idle, &timeouts));
        }
    }

    #[test]
    fn a_closed_flow_goes_sooner_where_ports_run_short() {
        let closed = state::SEEN | state::PAST_SYN | state::CLOSED;
        let [(key, value), (_, twin)] = flow(proto::TCP, (1_000, closed), (1_000, closed));
        let expired = |now, timeouts| is_expired(&key, &value, Some(&twin), now, &timeouts);
        assert!(!expired(1_010, Timeouts::default()));
        assert!(expired(1_010, Timeouts::SHORT_OF_PORTS));
    }

    #[test]
    fn no_state_expires_before_the_shortest_time() {
        let timeouts = Timeouts::default();
        for proto in [proto::TCP, proto::UDP, proto::SCTP] {
            for states in 0..=u8::MAX {
                assert!(timeouts.idle(proto, states & 0xf, states >> 4, false) >= timeouts.shortest());
                assert!(timeouts.one_way(proto, states) >= timeouts.shortest());
            }
        }
    }

    #[test]
    fn a_clock_that_seems_to_go_back_expires_nothing() {
        let flow = flow(proto::UDP, (1_000, state::SEEN), (1_000, 0));
        assert_eq!(expired(&flow, 900), [false; 2]);
    }
}
