//! What a client saw, as JSON between `kpr-cluster client` and a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::server::Answer;

/// The sum of many requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Requests answered, by pod.
    pub answers: BTreeMap<String, u32>,
    /// Requests not answered, by the name of the error (`ECONNREFUSED`, `ETIMEDOUT` …).
    pub failures: BTreeMap<String, u32>,
    /// The client's addresses as pods saw them.
    pub seen_as: BTreeSet<IpAddr>,
    /// Where the client's own sockets say they are connected to (`getpeername`).
    pub peers: BTreeSet<SocketAddr>,
    /// Where answers to datagrams said they came from (`recvmsg`).
    pub reply_sources: BTreeSet<SocketAddr>,
}

impl Tally {
    /// Requests answered.
    pub fn answered(&self) -> u32 {
        self.answers.values().sum()
    }

    /// Requests not answered.
    pub fn failed(&self) -> u32 {
        self.failures.values().sum()
    }

    /// Requests that `pod` answered.
    pub fn from(&self, pod: &str) -> u32 {
        self.answers.get(pod).copied().unwrap_or_default()
    }

    pub(super) fn add_answer(&mut self, answer: &Answer) {
        *self.answers.entry(answer.identity.pod.clone()).or_default() += 1;
        self.seen_as.insert(answer.client.ip());
    }

    pub(super) fn add_failure(&mut self, error: &io::Error) {
        *self.failures.entry(error_name(error)).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            answers,
            failures,
            seen_as,
            peers,
            reply_sources,
        } = other;
        for (pod, count) in answers {
            *self.answers.entry(pod).or_default() += count;
        }
        for (failure, count) in failures {
            *self.failures.entry(failure).or_default() += count;
        }
        self.seen_as.extend(seen_as);
        self.peers.extend(peers);
        self.reply_sources.extend(reply_sources);
    }
}

/// How asking for an address and port went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// The name of the error (`EADDRINUSE` …); none if it was given.
    pub error: Option<String>,
}

/// First line of a session: all of its connections are up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// How many.
    pub connections: u32,
}

/// Last line of a session that holds connections open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Connections that were opened.
    pub connections: u32,
    /// Those that broke before they were asked to end.
    pub broken: Vec<Broken>,
    /// Exchanges on all of them.
    pub exchanges: u32,
    /// The fewest exchanges on any of them: a connection that hangs shows here.
    pub fewest_exchanges: u32,
    /// Longest time between a question and its answer, in milliseconds.
    pub slowest_ms: u64,
}

/// A connection that broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// The client's own address.
    pub local: SocketAddr,
    /// The other side, as `getpeername` has it.
    pub peer: SocketAddr,
    /// The last answer; none if there never was one.
    pub last: Option<Answer>,
    /// When the question was asked that had no answer, in milliseconds since 1970.
    pub asked_ms: u64,
    /// The name of the error.
    pub error: String,
}

/// Last line of a UDP client that keeps one connected socket at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UdpHeld {
    /// Its sockets, one after the other.
    pub sockets: Vec<UdpLife>,
    /// Attempts to connect that failed, by the name of the error.
    pub not_connected: BTreeMap<String, u32>,
}

/// What one socket of such a client lived through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UdpLife {
    /// Answers that came.
    pub answers: u32,
    /// When each pod answered first, in milliseconds since 1970.
    pub first_ms: BTreeMap<String, u64>,
    /// The name of the error that ended it; none if it was still good when the client was asked to end.
    pub end: Option<String>,
}

/// Last line of a client that makes requests at a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paced {
    /// How the requests fared.
    pub tally: Tally,
    /// How many were begun in each slot of [`Self::SLOT_MS`] milliseconds since 1970.
    pub begun: BTreeMap<u64, u32>,
}

impl Paced {
    /// A tenth of a second.
    pub const SLOT_MS: u64 = 100;
}

/// What a client of bodies that come back saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Echoes {
    /// Answers that were the request.
    pub equal: u32,
    /// Answers that were something else.
    pub different: u32,
    /// Requests not answered, by the name of the error.
    pub failures: BTreeMap<String, u32>,
}

impl Echoes {
    pub(super) fn add_failure(&mut self, error: &io::Error) {
        *self.failures.entry(error_name(error)).or_default() += 1;
    }
}

/// The kernel's name for an error where there is one.
pub(super) fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("{:?}", Errno::from_raw(code)),
        None if error.kind() == io::ErrorKind::TimedOut => "ETIMEDOUT".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_the_name_of_their_error() {
        let mut tally = Tally::default();
        tally.add_failure(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        tally.add_failure(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        tally.add_failure(&io::ErrorKind::TimedOut.into());
        assert_eq!(
            tally.failures,
            [("ECONNREFUSED".to_owned(), 2), ("ETIMEDOUT".to_owned(), 1)].into()
        );
    }
}
