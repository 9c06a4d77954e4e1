//! Cluster health: the agents of the nodes ask each other how they are. It says whether nodes reach each other, which no node can tell alone.
//!
//! Whom to ask comes from the EndpointSlices of the agents' own Service, which every agent reads anyway, so that it costs the API server nothing.
//! In a large cluster each asks only those that follow it in the order of names, so that each is asked by as many, and no node by all.

mod ask;
mod choose;
mod watch;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;

pub use self::watch::watch;

/// The agent of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name of the Node.
    pub node: Arc<str>,
    /// Where it says how it is (`/healthz`).
    pub address: SocketAddr,
}

/// What the last round of questions found; empty before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterHealth {
    /// When it ended.
    pub at: Option<Timestamp>,
    /// Agents that are known, this one among them.
    pub known: usize,
    /// Those that were asked, this one first.
    pub asked: Vec<Asked>,
}

/// An agent that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub peer: Peer,
    /// It is this very agent.
    pub own: bool,
    /// What it said, or why it did not.
    pub answer: Result<Answer, String>,
}

/// What an agent said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its node serves Services, and changes are programmed as they come.
    pub serves: bool,
    /// From the question to the answer, the connection included.
    pub took: Duration,
}
