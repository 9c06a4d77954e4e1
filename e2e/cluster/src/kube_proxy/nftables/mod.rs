//! The rules of kube-proxy's nftables mode, as scripts for `nft -f`.

mod base;
mod script;
mod service;

use std::collections::BTreeMap;

pub use self::script::{Script, cleanup, script};
use super::desired::{NodeRules, ServicePort};

/// The table's name, in the family `ip` and in `ip6`.
pub const TABLE: &str = "kube-proxy";

/// The bit that says: give this packet the node's address (`nftables.masqueradeBit`).
const MASQUERADE: &str = "0x4000";

/// The maps and sets whose elements are Services.
mod map {
    pub(super) const CLUSTER_IPS: &str = "cluster-ips";
    pub(super) const FIREWALL_IPS: &str = "firewall-ips";
    pub(super) const NO_ENDPOINT_NODE_PORTS: &str = "no-endpoint-nodeports";
    pub(super) const NO_ENDPOINT_SERVICES: &str = "no-endpoint-services";
    pub(super) const NODE_PORT_IPS: &str = "nodeport-ips";
    pub(super) const SERVICE_IPS: &str = "service-ips";
    pub(super) const SERVICE_NODE_PORTS: &str = "service-nodeports";
}

/// What the table of one family should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `ip` or `ip6`.
    family: &'static str,
    /// Sets and maps by name: a word for the kind, and the body of its declaration.
    sets: BTreeMap<String, (&'static str, String)>,
    /// Chains by name: hook and priority of a base chain, and rules in order.
    chains: BTreeMap<String, Chain>,
    /// Elements by set and key: what follows the key.
    elements: BTreeMap<(&'static str, String), String>,
}

/// A chain and its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    hook: &'static str,
    rules: Vec<String>,
}

/// The rules of one node for these ports of Services.
pub fn table(node: &NodeRules, ports: &[ServicePort]) -> Table {
    let mut table = base::table(node);
    for port in ports {
        service::add(node, port, &mut table);
    }
    table
}

impl Table {
    /// `family`: `ip` or `ip6`.
    fn empty(family: &'static str) -> Self {
        Self {
            family,
            sets: BTreeMap::new(),
            chains: BTreeMap::new(),
            elements: BTreeMap::new(),
        }
    }

    fn rule(&mut self, chain: &str, rule: impl Into<String>) {
        self.chains.entry(chain.to_owned()).or_default().rules.push(rule.into());
    }

    /// Of two Services with the same destination the first has it.
    fn element(&mut self, set: &'static str, key: String, value: impl Into<String>) {
        self.elements.entry((set, key)).or_insert(value.into());
    }
}
