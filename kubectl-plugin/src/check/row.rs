//! One question of a check: what is asked, from where, and what is expected.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
};

use kpr_check::{Protocol, Question};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    ClusterIp,
    Affinity,
    InternalLocal,
    NodePort,
    ExternalLocal,
    NoEndpoints,
}

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vantage {
    Pods,
    Nodes,
    Outside,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct From {
    pub(super) vantage: Vantage,
    /// The node's name; none: outside.
    pub(super) node: Option<String>,
    pub(super) client: Client,
}

/// The client itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// In this pod.
    Pod(String),
    /// In a pod that is not there, for this reason.
    NoPod(String),
    /// This machine.
    Here,
}

/// What must be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Every one of these answers.
    Each(BTreeSet<String>),
    /// One of these, out of so many there are.
    OneOf(BTreeSet<String>, usize),
    /// Always the same one of these.
    Same(BTreeSet<String>),
    /// Nobody, and that at once.
    Refused,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) check: Check,
    pub(super) protocol: Protocol,
    pub(super) from: From,
    pub(super) target: SocketAddr,
    /// The node whose address the target has.
    pub(super) via: Option<String>,
    pub(super) expected: Expected,
    /// Addresses behind which the client must not be hidden from the server.
    pub(super) not_behind: Vec<IpAddr>,
}

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Failed(String),
    Skipped(String),
}

/// If nothing but chance is behind a right answer, it comes once in so many runs.
const RARE: f64 = 1e6;
/// Where chance has no say.
const FEW: u32 = 3;

impl Row {
    /// What the client is asked.
    pub(super) fn question(&self) -> Question {
        let (tries, enough) = match &self.expected {
            Expected::Each(servers) => (tries_to_meet(servers.len()), Some(servers.len())),
            Expected::OneOf(servers, all) => (tries_to_miss(servers.len(), *all), None),
            // The first one may be any.
            Expected::Same(servers) => (1 + tries_to_miss(1, servers.len()), None),
            Expected::Refused => (FEW, None),
        };
        Question {
            protocol: self.protocol,
            target: self.target,
            tries,
            enough,
        }
    }

    /// The family of the address that is asked.
    pub(super) fn family(&self) -> &'static str {
        if self.target.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    /// The target, and whose address it is.
    pub(super) fn to(&self) -> String {
        match &self.via {
            Some(node) => format!("{} ({node})", self.target),
            None => self.target.to_string(),
        }
    }
}

/// After so many tries, each at one of `servers` by chance, each of them has been met.
fn tries_to_meet(servers: usize) -> u32 {
    let all = to_f64(servers);
    if servers <= 1 {
        return FEW;
    }
    rounded_up((all * RARE).ln() / -(1.0 - 1.0 / all).ln())
}

/// After so many tries, each at one of `all` by chance, others than `servers` of them have been met.
fn tries_to_miss(servers: usize, all: usize) -> u32 {
    if servers >= all {
        return FEW;
    }
    rounded_up(RARE.ln() / -(to_f64(servers) / to_f64(all)).ln())
}

#[expect(clippy::cast_precision_loss, reason = "servers are few")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of tries, which is held below a thousand"
)]
fn rounded_up(tries: f64) -> u32 {
    tries.ceil().clamp(1.0, 1000.0) as u32
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "ClusterIP",
            Self::Affinity => "session affinity",
            Self::InternalLocal => "internalTrafficPolicy Local",
            Self::NodePort => "NodePort",
            Self::ExternalLocal => "externalTrafficPolicy Local",
            Self::NoEndpoints => "no endpoints",
        })
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Outside => "outside",
        })
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, self.vantage) {
            (Some(node), Vantage::Pods) => write!(f, "pod on {node}"),
            (Some(node), _) => f.write_str(node),
            (None, _) => f.write_str("outside"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |servers: &BTreeSet<String>| servers.iter().cloned().collect::<Vec<_>>().join(", ");
        match self {
            Self::Each(servers) => write!(f, "each of {}", names(servers)),
            Self::OneOf(servers, _) if servers.len() == 1 => write!(f, "only {}", names(servers)),
            Self::OneOf(servers, _) => write!(f, "any of {}", names(servers)),
            Self::Same(servers) => write!(f, "always the same of {}", names(servers)),
            Self::Refused => f.write_str("refused"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_ruled_out_by_tries() {
        // 2 × (1/2)^21 < 1e-6, 3 × (2/3)^37 < 1e-6, 10 × (9/10)^153 < 1e-6.
        assert_eq!([1, 2, 3, 10].map(tries_to_meet), [3, 21, 37, 153]);
        // (1/2)^20 and (1/3)^13 < 1e-6.
        assert_eq!(
            [(1, 1), (1, 2), (1, 3), (3, 3)].map(|(some, all)| tries_to_miss(some, all)),
            [3, 20, 13, 3]
        );
    }
}
