//! A rule of iptables, of either kind, as far as kpr has to do with it: who is led where.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::Protocol;

/// A rule, from the kernel or from a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The chain that it is in.
    pub chain: String,
    /// Another chain, or what becomes of the packet; empty if nothing does.
    pub target: String,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
    /// Where packets come from.
    pub source: Option<Source>,
    /// Where they go to.
    pub destination: Option<IpNet>,
    /// Their protocol, if it is one of Services'.
    pub protocol: Option<Protocol>,
    /// The port that they are for.
    pub port: Option<u16>,
    /// Only those of the node itself (`--src-type LOCAL`).
    pub from_node: bool,
    /// `--seconds`, of the match `recent`.
    pub seconds: Option<u32>,
    /// Their new destination.
    pub to_destination: Option<SocketAddr>,
}

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// A range of addresses.
    pub range: IpNet,
    /// They come from anywhere else.
    pub is_not: bool,
}

/// A rule that is not understood: what it has. Whoever takes it for another one would draw wrong conclusions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule of the chain {chain} has {what}, which is not understood here")]
pub struct NotUnderstood {
    /// The rule's chain.
    pub chain: String,
    /// A match, a target or an expression.
    pub what: String,
}

/// An address in network byte order, of whichever family.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// The number of IP, if Services have the protocol.
pub(super) fn protocol(number: u16) -> Option<Protocol> {
    u8::try_from(number).ok().and_then(Protocol::of_number)
}
