//! The rules of kube-proxy's iptables mode, as input for `iptables-restore --noflush` and `ip6tables-restore --noflush`.

mod filter;
mod jumps;
mod nat;
mod restore;

use std::collections::BTreeMap;

pub use self::{
    jumps::{cleanup, install},
    restore::{full, known, partial},
};
use super::desired::{NodeRules, ServicePort};

/// The bit that says: give this packet the node's address (`iptables.masqueradeBit`).
const MASQUERADE: &str = "0x4000";

/// Chains of one table, with their rules in order, without the `-A CHAIN` in front.
pub type Chains = BTreeMap<String, Vec<String>>;

/// What the two tables that have rules of kube-proxy should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Refusals, and what lets translated packets through.
    pub filter: Chains,
    /// Translation.
    pub nat: Chains,
}

/// The rules of one node for these ports of Services.
pub fn tables(node: &NodeRules, ports: &[ServicePort]) -> Tables {
    Tables {
        filter: filter::chains(node, ports),
        nat: nat::chains(node, ports),
    }
}

/// The match for packets to `port` of `address`, as kube-proxy orders it.
fn to_address(port: &ServicePort, address: std::net::IpAddr) -> String {
    let protocol = port.protocol.as_str();
    format!("-m {protocol} -p {protocol} -d {address} --dport {}", port.port)
}

fn to_port(port: &ServicePort, number: u16) -> String {
    let protocol = port.protocol.as_str();
    format!("-m {protocol} -p {protocol} --dport {number}")
}

fn comment(text: &str) -> String {
    format!("-m comment --comment \"{text}\"")
}
