//! Flows that pass from netfilter to the programs, and back.
//!
//! A flow belongs to whoever translated its first packet. TCP shows by itself which packet is the first; a datagram doesn't. So
//! when kpr begins to serve beside a kube-proxy, or in its place, the flows that netfilter translates are marked
//! ([`action::YIELD`]), and when kpr goes and kube-proxy's rules are there, netfilter gets the flows of the programs.

use super::{Error, PortRange, family::FamilyTables, flow_clock, tables::MapFamily};
use crate::netfilter::{Connection, Conntrack, Nat, Tuple};
use kpr_abi::{
    Be16, FlowKey, FlowValue,
    flow::{YIELD_FIRST_SECONDS, YIELD_SECONDS, action, direction, state},
    proto,
};
use std::{net::SocketAddr, time::Duration};

/// So many flows are held at a time while they are handed over: tens of microseconds each.
const BATCH: usize = 128;
/// For how long a packet that found the flow's old entry may be under way to netfilter.
const UNDER_WAY: Duration = Duration::from_millis(1);
/// How often a connection is taken away that a packet in between has made netfilter begin.
const ATTEMPTS: u32 = 8;
/// Marked flows may take this part of the table.
const SHARE: u32 = 4;

/// What became of the flows of a datapath that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandOver {
    /// Netfilter has them.
    pub given: u32,
    /// It would not take them: another connection has their addresses and ports.
    pub refused: u32,
}

impl std::ops::AddAssign for HandOver {
    fn add_assign(&mut self, other: Self) {
        self.given += other.given;
        self.refused += other.refused;
    }
}

impl<F: MapFamily> FamilyTables<F> {
    /// Leaves these flows to netfilter, which translates them. Those that the programs have already are theirs. Returns how many
    /// were marked.
    pub fn leave(&mut self, connections: &[Connection]) -> Result<u32, Error> {
        let room = self.flow_capacity() / SHARE;
        let mut left = 0;
        for connection in connections {
            if left == room {
                break;
            }
            let Some(key) = key::<F>(&connection.original) else {
                continue;
            };
            left += u32::from(self.insert_flow(&key, yielded(connection, flow_clock()))?);
        }
        Ok(left)
    }

    /// Takes the tuples of answers that come to a port of the SNAT range out of use: no flow of the programs gets one of them. More
    /// come only where netfilter is not kept out of that range.
    pub(super) fn keep_free(&mut self, connections: &[Connection], snat: PortRange) -> Result<(), Error> {
        let room = self.flow_capacity() / SHARE;
        let in_range = |connection: &&Connection| (snat.min..=snat.max).contains(&connection.reply.dst.port());
        for connection in connections.iter().filter(in_range).take(room as usize) {
            if let Some(key) = key::<F>(&connection.reply) {
                let direction = direction::REPLY;
                self.insert_flow(&FlowKey { direction, ..key }, yielded(connection, flow_clock()))?;
            }
        }
        Ok(())
    }

    /// Deletes every frontend: from now on no flow begins. Flows that there are go on.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        for (key, _) in self.restore()?.services {
            self.apply(&crate::plan::Op::DeleteService { key })?;
        }
        Ok(())
    }

    /// Gives all flows to netfilter.
    pub(super) fn give(&mut self, conntrack: &Conntrack) -> HandOver {
        let entries = self.flow_entries();
        let is_alive = |(key, value): &(&FlowKey<F::Addr>, &FlowValue<F::Addr>)| {
            let reply = entries.get(&key.twin(value)).map_or(0, |reply| reply.state);
            let over = (value.state | reply) & state::ENDED != 0 || value.state & reply & state::CLOSED != 0;
            let is_ours = value.backend != 0 && value.action < action::YIELD;
            // A flow with DSR is the programs' alone: netfilter encapsulates nothing, and here knows its packets only without outer headers.
            let is_ours = is_ours && value.state & state::ENCAPSULATED == 0;
            // An SCTP association is known by verification tags, which no flow remembers: netfilter would take none without.
            let can_be_given = key.proto == proto::UDP || key.proto == proto::TCP && !over;
            key.direction == direction::FORWARD && is_ours && can_be_given
        };
        let alive: Vec<_> = entries
            .iter()
            .filter(is_alive)
            .map(|(key, value)| (*key, *value))
            .collect();
        let mut outcome = HandOver::default();
        for batch in alive.chunks(BATCH) {
            // A flow to a local backend passes netfilter under its translated addresses: the connection that netfilter knows of
            // must go before it can have the real one, and no packet may come in between.
            for (key, value) in batch.iter().filter(|(_, value)| value.action == action::PASS) {
                self.mark_flow(key, value, action::HOLD);
            }
            std::thread::sleep(UNDER_WAY);
            for (key, value) in batch {
                match give_one::<F>(conntrack, key, value) {
                    Ok(()) => {
                        self.mark_flow(key, value, action::YIELD);
                        self.remove_flow(&key.twin(value));
                        outcome.given += 1;
                    }
                    Err(refused) => {
                        tracing::debug!("a flow stays with kpr to its end: {refused}");
                        self.mark_flow(key, value, value.action);
                        outcome.refused += 1;
                    }
                }
            }
        }
        outcome
    }
}

/// An entry that is over when netfilter forgets the connection, if nobody speaks until then.
fn yielded<A: Default>(connection: &Connection, now: u32) -> FlowValue<A> {
    let (state, limit) = if connection.assured {
        (state::SEEN, YIELD_SECONDS)
    } else {
        (0, YIELD_FIRST_SECONDS)
    };
    FlowValue {
        last_seen: now.saturating_sub(limit.saturating_sub(connection.seconds_left)),
        state,
        action: action::YIELD,
        ..FlowValue::default()
    }
}

fn give_one<F: MapFamily>(
    conntrack: &Conntrack,
    key: &FlowKey<F::Addr>,
    value: &FlowValue<F::Addr>,
) -> Result<(), crate::netfilter::Error> {
    let original = Tuple {
        src: socket::<F>(key.src, key.sport),
        dst: socket::<F>(key.dst, key.dport),
        proto: key.proto,
    };
    let nat = Nat {
        src: socket::<F>(value.src, value.sport),
        dst: socket::<F>(value.dst, value.dport),
    };
    let translated = Tuple {
        src: nat.src,
        dst: nat.dst,
        proto: key.proto,
    };
    let mut attempt = 1;
    loop {
        if value.action == action::PASS {
            conntrack.forget(&translated)?;
        }
        match conntrack.insert(&original, &nat) {
            Err(taken) if taken.raw_os_error() == Some(libc::EEXIST) && attempt < ATTEMPTS => {
                // Packets of the flow never come to netfilter as the client sends them: what it remembers of such ones is an earlier
                // connection's from the same port.
                conntrack.forget(&original)?;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

fn socket<F: MapFamily>(addr: F::Addr, port: Be16) -> SocketAddr {
    let ip: F::Ip = addr.into();
    SocketAddr::new(ip.into(), port.host())
}

/// The key of the flow's first direction; none if it is of the other family.
fn key<F: MapFamily>(tuple: &Tuple) -> Option<FlowKey<F::Addr>> {
    Some(FlowKey {
        src: F::addr(tuple.src.ip())?,
        dst: F::addr(tuple.dst.ip())?,
        sport: Be16::new(tuple.src.port()),
        dport: Be16::new(tuple.dst.port()),
        proto: tuple.proto,
        direction: direction::FORWARD,
        zero: 0,
    })
}
