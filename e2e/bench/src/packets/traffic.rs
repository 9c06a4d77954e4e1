//! What clients and backends send, and what is to become of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use kpr_abi::{Addr4, Be16, FlowKey, FlowValue, flow::action, proto};

use super::{
    floor::Hook,
    frame::{Frame, GATEWAY_MAC, NODE_MAC, OTHER_NODE_MAC},
};

/// The node's own address.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 2);
/// A NodePort with remote backends.
pub(super) const REMOTE: SocketAddrV4 = SocketAddrV4::new(NODE, 31_683);
/// A NodePort with local backends.
pub(super) const LOCAL: SocketAddrV4 = SocketAddrV4::new(NODE, 31_684);
/// A port of the node's that is no Service's.
pub(super) const NOBODYS: SocketAddrV4 = SocketAddrV4::new(NODE, 22);
/// Port of the backends.
pub(super) const BACKEND_PORT: u16 = 80;
/// How many backends each NodePort has: so many that flows hardly ever want the same source port.
pub(super) const BACKENDS: u8 = 250;

/// `TC_ACT_UNSPEC`.
const NEXT: i32 = -1;
/// `TC_ACT_REDIRECT`.
pub(super) const REDIRECT: i32 = 7;
/// `XDP_PASS` and `XDP_TX`.
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;

/// The `index`-th backend on the other node, or on this one.
pub(super) fn backend(index: u8, local: bool) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, u8::from(!local), 1 + index)
}

/// Key of the flow of a packet, in a direction.
pub(super) fn key(src: SocketAddrV4, dst: SocketAddrV4, direction: u8) -> FlowKey<Addr4> {
    FlowKey {
        src: (*src.ip()).into(),
        dst: (*dst.ip()).into(),
        sport: Be16::new(src.port()),
        dport: Be16::new(dst.port()),
        proto: proto::TCP,
        direction,
        zero: 0,
    }
}

/// Where a translated packet comes from and goes to.
pub(super) fn translated(value: &FlowValue<Addr4>) -> (SocketAddrV4, SocketAddrV4) {
    (
        SocketAddrV4::new(value.src.into(), value.sport.host()),
        SocketAddrV4::new(value.dst.into(), value.dport.host()),
    )
}

/// What becomes of a packet: its verdict, and how it leaves the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    verdict: i32,
    frame: Frame,
    /// Hardware address of the next hop.
    next_hop: [u8; 6],
}

impl Fate {
    /// Left as it is.
    pub(super) fn untouched(frame: Frame) -> Self {
        Self {
            verdict: NEXT,
            frame,
            next_hop: OTHER_NODE_MAC,
        }
    }

    /// Whether the program sends it out itself.
    pub(super) fn is_sent(&self) -> bool {
        self.verdict == REDIRECT
    }

    /// Whether a program of this hook leaves the packet so.
    pub(super) fn is(&self, hook: Hook, verdict: i32, packet: &[u8]) -> bool {
        let as_it_came = self.frame.bytes();
        let mut addressed = as_it_came;
        addressed[..6].copy_from_slice(&self.next_hop);
        addressed[6..12].copy_from_slice(&NODE_MAC);
        let (expected, packets) = match (hook, self.is_sent()) {
            // The kernel writes tc's link header behind the program, unless the flow knows its way.
            (Hook::Tc, true) => (self.verdict, [as_it_came, addressed]),
            (Hook::Tc, false) => (self.verdict, [as_it_came; 2]),
            (Hook::Xdp, true) => (XDP_TX, [addressed; 2]),
            (Hook::Xdp, false) => (XDP_PASS, [as_it_came; 2]),
        };
        verdict == expected && packets.iter().any(|expected| expected == packet)
    }

    /// Translated: sent out by the program, which is a hop, or let go on.
    pub(super) fn of(frame: Frame, value: &FlowValue<Addr4>) -> Self {
        let (src, dst) = translated(value);
        let (verdict, ttl) = if value.action == action::FORWARD {
            (REDIRECT, frame.ttl - 1)
        } else {
            (NEXT, frame.ttl)
        };
        let is_to_client = src.ip() == &NODE && src.port() == REMOTE.port();
        Self {
            verdict,
            frame: Frame { src, dst, ttl, ..frame },
            next_hop: if is_to_client { GATEWAY_MAC } else { OTHER_NODE_MAC },
        }
    }
}

/// Puts values into an order in which none follows from the one before: packets of flows that began one after the other would find
/// them side by side in memory.
pub(super) fn shuffle<T>(values: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..values.len()).rev() {
        // xorshift64 (Marsaglia 2003): the same order in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder by a length")]
        values.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_value_and_hardly_any_neighbours() {
        let mut values: Vec<u32> = (0..10_000).collect();
        shuffle(&mut values);
        let neighbours = values.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
        assert!(neighbours < 20, "{neighbours}");
        values.sort_unstable();
        assert_eq!(values, (0..10_000).collect::<Vec<_>>());
    }
}
