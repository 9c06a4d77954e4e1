//! What a client is asked to find out, and what it found.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// How the client speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// A connection for each try.
    Tcp,
    /// A connected socket for each try; a datagram without an answer is sent again.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Who answers there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// How to ask.
    pub protocol: Protocol,
    /// Whom.
    pub target: SocketAddr,
    /// So many times, one after the other, each from a port of its own.
    pub tries: u32,
    /// Once so many servers have answered, a few tries are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<usize>,
}

/// What the tries of one question met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Who answered, and how often.
    pub servers: BTreeMap<String, u32>,
    /// Under which addresses they saw the client, and how often.
    pub clients: BTreeMap<IpAddr, u32>,
    /// Why tries failed, and how often.
    pub failures: BTreeMap<String, u32>,
}

impl Answers {
    /// A failure: the other side, or a node on the way, has said that nobody listens.
    pub const REFUSED: &str = "refused";
    /// A failure: nobody has said anything.
    pub const TIMED_OUT: &str = "timed out";

    /// How many tries were answered.
    pub fn answered(&self) -> u32 {
        self.servers.values().sum()
    }

    /// How many were not.
    pub fn failed(&self) -> u32 {
        self.failures.values().sum()
    }
}
