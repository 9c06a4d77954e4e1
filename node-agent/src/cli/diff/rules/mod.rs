//! Rules of kube-proxy, as far as they tell who is led where: the same for iptables and nftables, whose chains have different names and
//! the same shape.
//!
//! ```text
//! destination -> [firewall] -> external -> cluster or local -> endpoint
//!             -> cluster or local -> endpoint                              (ClusterIP)
//! ```

mod follow;
pub(super) mod iptables;
pub(super) mod ipvs;
pub(super) mod nftables;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::SocketAddr};

use ipnet::IpNet;

use super::frontend::{Affinity, Frontend, Frontends, Key, Policy, Refusal};
use crate::model::Kind;

/// The rules of one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    chains: HashMap<String, Chain>,
    /// In the order in which packets meet them.
    ways: Vec<Way>,
    refused: Vec<Refused>,
}

/// What the rules of a chain lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    leads: Vec<Lead>,
    /// The endpoint that packets get as their destination here.
    endpoint: Option<SocketAddr>,
    /// How long clients are remembered, in seconds.
    affinity: Option<u32>,
}

/// A rule that leads to another chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lead {
    chain: String,
    only: Only,
}

/// For whom a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Everyone,
    /// Clients at these addresses.
    Sources(IpNet),
    /// The node itself.
    Node,
}

/// From a destination to the chain that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    key: Key,
    name: Option<String>,
    kind: Option<Kind>,
    chain: String,
    /// Who may go it, where that is not told by chains on the way.
    sources: Option<Vec<IpNet>>,
}

/// A destination that nobody is led from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    key: Key,
    name: Option<String>,
    refusal: Refusal,
}

/// What a chain of kube-proxy's is for, which its name begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Lets clients in some ranges pass.
    Firewall,
    /// Tells clients outside from those inside.
    External,
    /// Chooses among endpoints by this policy.
    Policy(Policy),
    /// Is one endpoint's.
    Endpoint,
}

impl Role {
    /// By a chain's name. `KUBE-XLB-` was `KUBE-EXT-` before 1.24.
    fn of(chain: &str) -> Option<Self> {
        const PREFIXES: [(&str, Role); 11] = [
            ("KUBE-FW-", Role::Firewall),
            ("KUBE-EXT-", Role::External),
            ("KUBE-XLB-", Role::External),
            ("KUBE-SVC-", Role::Policy(Policy::Cluster)),
            ("KUBE-SVL-", Role::Policy(Policy::Local)),
            ("KUBE-SEP-", Role::Endpoint),
            ("firewall-", Role::Firewall),
            ("external-", Role::External),
            ("service-", Role::Policy(Policy::Cluster)),
            ("local-", Role::Policy(Policy::Local)),
            ("endpoint-", Role::Endpoint),
        ];
        let of = PREFIXES.into_iter().find(|(prefix, _)| chain.starts_with(prefix));
        of.map(|(_, role)| role)
    }
}

impl Ruleset {
    fn chain(&mut self, name: &str) -> &mut Chain {
        self.chains.entry(name.to_owned()).or_default()
    }

    /// Adds the frontends that the rules make. Where two rules are for one destination, the first has it.
    pub(super) fn add_to(&self, frontends: &mut Frontends) {
        for way in &self.ways {
            frontends.entry(way.key).or_insert_with(|| follow::follow(self, way));
        }
        for Refused { key, name, refusal } in &self.refused {
            let frontend = frontends.entry(*key).or_insert_with(|| Frontend {
                name: name.clone(),
                ..Frontend::default()
            });
            if frontend.backends.is_empty() {
                frontend.refusal.get_or_insert(*refusal);
                if *refusal == Refusal::Drop {
                    frontend.policy = Some(Policy::Local);
                }
            }
        }
    }
}

/// The Service's port that a comment of kube-proxy's begins with: `default/web:http cluster IP`.
fn name_in(comment: &str) -> Option<String> {
    let first = comment.split(' ').next()?;
    first.contains('/').then(|| first.to_owned())
}
