//! From a destination along the chains to the endpoints.

use super::{Affinity, Frontend, Lead, Only, Policy, Role, Ruleset, Way};
use crate::cli::diff::frontend::{Backends, Sources};

/// More chains than any way of kube-proxy's passes: rules that lead in a circle have an end, too.
const LONGEST: usize = 6;

/// What was met on the way.
#[derive(Default)]
struct Met {
    backends: Backends,
    from_node: Backends,
    policy: Option<Policy>,
    affinity: Option<u32>,
    /// The firewall's; none if there was no firewall.
    sources: Option<Vec<ipnet::IpNet>>,
    everyone: bool,
}

/// Who walks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Any,
    /// This node, or one of its pods.
    Inside,
}

/// The frontend at the beginning of the way.
pub(super) fn follow(rules: &Ruleset, way: &Way) -> Frontend {
    let mut met = Met::default();
    walk(rules, &way.chain, Client::Any, LONGEST, &mut met);
    let is_external = matches!(Role::of(&way.chain), Some(Role::External | Role::Firewall));
    let has_short_cut = is_external && met.policy == Some(Policy::Local);
    let any = !met.backends.is_empty() || !met.from_node.is_empty();
    let sources = if met.everyone {
        None
    } else {
        met.sources.or_else(|| way.sources.clone())
    };
    Frontend {
        name: way.name.clone(),
        kind: way.kind,
        backends: met.backends,
        policy: met.policy,
        from_node: has_short_cut.then_some(met.from_node),
        affinity: any.then(|| met.affinity.map_or(Affinity::None, Affinity::Seconds)),
        sources: Some(sources.map_or_else(Sources::everyone, |ranges| Sources::of(ranges, way.key.address.ip()))),
        refusal: None,
    }
}

fn walk(rules: &Ruleset, name: &str, client: Client, left: usize, met: &mut Met) {
    let (Some(role), Some(chain), Some(left)) = (Role::of(name), rules.chains.get(name), left.checked_sub(1)) else {
        return;
    };
    // Not of endpoints: in nftables each endpoint has a set of its own, with the time that all have.
    met.affinity = met.affinity.or(chain.affinity);
    match role {
        Role::Endpoint => {
            let list = if client == Client::Any {
                &mut met.backends
            } else {
                &mut met.from_node
            };
            list.extend(chain.endpoint);
        }
        Role::Policy(policy) => {
            if client == Client::Any {
                met.policy = Some(policy);
            }
            // Each endpoint is led to once by chance, and once more for clients that it has had before.
            for lead in &chain.leads {
                walk(rules, &lead.chain, client, left, met);
            }
        }
        Role::External => {
            for Lead { chain, only } in &chain.leads {
                let client = if *only == Only::Everyone {
                    client
                } else {
                    // A short cut past the policy `Local`: there is none without.
                    met.policy = Some(Policy::Local);
                    Client::Inside
                };
                walk(rules, chain, client, left, met);
            }
        }
        Role::Firewall => {
            let sources = met.sources.get_or_insert_default();
            for lead in &chain.leads {
                match lead.only {
                    Only::Sources(range) => sources.push(range),
                    Only::Everyone | Only::Node => met.everyone = true,
                }
            }
            if let Some(lead) = chain.leads.first() {
                walk(rules, &lead.chain, client, left, met);
            }
        }
    }
}
