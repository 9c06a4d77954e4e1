//! What the programs went through with a packet or a call, in the terms of their tables.

use kpr_abi::{Event, Reason};
use std::net::SocketAddr;

/// How far it came, and why no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// As the programs told it.
    pub event: Event,
    /// What they counted, in order.
    pub reasons: Vec<Reason>,
    /// The frontend that it is for; of a packet of a known flow, the one that its destination names now, if there still is one.
    pub frontend: Option<Matched>,
    /// The backends that it might have got.
    pub candidates: Vec<Candidate>,
    /// Why it got the one that it got, if it got one.
    pub choice: Option<Choice>,
}

/// A frontend that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its address and port; the unspecified address stands for every address of the node.
    pub address: SocketAddr,
    /// Its id.
    pub id: u32,
    /// Its [`flags`](kpr_abi::service::flags).
    pub flags: u32,
    /// For how long clients stick to a backend, in seconds.
    pub affinity_seconds: u32,
}

/// A backend of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its [`flags`](kpr_abi::backend::flags).
    pub flags: u8,
    /// How many connections it has, where they are counted.
    pub connections: Option<u64>,
}

/// Why a backend was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The flow is known: it keeps its backend.
    Flow,
    /// The client had it last, and sticks to it.
    Affinity {
        /// How many seconds ago it last began a connection.
        idle: u32,
    },
    /// There is no other.
    Only,
    /// By the hash of client and frontend port in the list's Maglev table.
    Maglev,
    /// Of two by chance, the one with fewer connections.
    FewerConnections,
    /// By chance.
    Chance,
}

impl Choice {
    /// Whether the next packet like this one gets the same backend, as long as nothing changes.
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::FewerConnections | Self::Chance)
    }
}
