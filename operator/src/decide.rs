//! From what is, to what has to be written: the whole of a reconciliation, without I/O.

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath, names};
use kube::ResourceExt;

use crate::claims::{self, Claims};
use crate::drain::{self, Step};
use crate::kube_proxy::{self, Outlook, give_back};
use crate::node::NodeView;
use crate::notice::{self, Notice};
use crate::render::{self, Desired};
use crate::rollout::{self, Member};
use crate::status::{self, Pool, PoolNode};

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Every `KubeProxyReplacement`.
    pub policies: &'a [Arc<KubeProxyReplacement>],
    /// Every Node, by name.
    pub nodes: &'a BTreeMap<String, NodeView>,
    /// Every `NodeDatapath`, by name.
    pub datapaths: &'a BTreeMap<String, Arc<NodeDatapath>>,
    /// How long removals are waited for.
    pub limits: drain::Limits,
    /// What there is of kube-proxy.
    pub kube_proxy: kube_proxy::Input<'a>,
    /// The time.
    pub now: Timestamp,
}

/// What has to be done for one `KubeProxyReplacement`. In this order; and [`Finalizer::Release`] only if all else is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Take or release the finalizer.
    pub finalizer: Finalizer,
    /// Datapaths to write.
    pub apply: Vec<Desired>,
    /// Datapaths to delete.
    pub delete: Vec<Deletion>,
    /// Changes of kube-proxy's DaemonSets.
    pub daemon_sets: Vec<kube_proxy::Patch>,
    /// Status to write.
    pub status: Option<KubeProxyReplacementStatus>,
    /// Events to publish.
    pub notices: Vec<Notice>,
    /// Look again after this time, even if nothing happens.
    pub again_in: Option<Duration>,
}

/// What to do with the finalizer of the `KubeProxyReplacement`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Finalizer {
    /// Nothing.
    #[default]
    Keep,
    /// Add it, before anything else: what is applied without it might outlive the object.
    Take,
    /// Remove it, after everything else: the object may go.
    Release,
}

/// A datapath that has to be deleted, if it is still the same object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deletion {
    /// Its name.
    pub node: String,
    /// Its uid.
    pub uid: Option<String>,
}

/// Decides what has to be done for this policy.
pub fn decide(policy: &KubeProxyReplacement, world: &World<'_>) -> Decision {
    let name = policy.name_any();
    let deleting = policy.metadata.deletion_timestamp.is_some();
    let held = policy
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == names::FINALIZER);
    if deleting && !held {
        return Decision::default();
    }
    let claims = claims::share(world.policies.iter().map(AsRef::as_ref), world.nodes);
    let mut decision = Decision::default();
    if !held {
        decision.finalizer = Finalizer::Take;
    }
    let (pool, lost): (Vec<&str>, Vec<_>) = (claims.of(&name).collect(), claims.lost_by(&name).collect());
    let question = kube_proxy::Question {
        policy,
        policies: world.policies,
        pool: &pool,
        lost: &lost,
        nodes: world.nodes,
        datapaths: world.datapaths,
        state: world.kube_proxy.state,
    };
    let mut kube_proxy = kube_proxy::plan(&question);
    if !deleting {
        serve(policy, &name, &claims, world, &mut decision);
        kube_proxy.tell(&question, &mut decision.apply);
    }
    decision.daemon_sets.append(&mut kube_proxy.patches);
    decision.notices.append(&mut kube_proxy.notices);
    let Leaving {
        nodes: leaving,
        awaiting,
    } = leave(policy, &name, deleting, &claims, world, &mut decision);
    if !awaiting.is_empty() {
        let sets = world.kube_proxy.state.map(kube_proxy::State::names).unwrap_or_default();
        kube_proxy.outlook = Outlook::Restoring(sets, awaiting);
    }
    if deleting && leaving.is_empty() {
        if !kube_proxy::holds(policy, world.kube_proxy, world.now) {
            decision.finalizer = Finalizer::Release;
            return decision;
        }
        again(&mut decision, Duration::from_secs(1));
    }

    let mine: Vec<&str> = if deleting { leaving } else { claims.of(&name).collect() };
    let nodes = mine.into_iter().map(|node| pool_node(node, &name, world)).collect();
    let generation = policy.metadata.generation.unwrap_or_default();
    let pool = Pool {
        generation,
        nodes,
        lost: claims.lost_by(&name).collect(),
        deleting,
        kube_proxy: kube_proxy.outlook,
    };
    let status = status::aggregate(policy, &pool, world.now);
    if policy.status.as_ref() != Some(&status) {
        let notices = notice::of_transition(policy.spec.mode, policy.status.as_ref(), &status);
        decision.notices.extend(notices);
        decision.status = Some(status);
    }
    decision
}

fn pool_node<'a>(node: &'a str, policy: &str, world: &World<'a>) -> PoolNode<'a> {
    let datapath = world.datapaths.get(node).map(AsRef::as_ref);
    match world.nodes.get(node) {
        Some(view) => PoolNode::new(node, view, datapath, policy),
        None => PoolNode {
            name: node,
            up: false,
            datapath,
        },
    }
}

/// Nodes of the pool that may be told the newest configuration, and don't have it yet.
fn serve(policy: &KubeProxyReplacement, name: &str, claims: &Claims, world: &World<'_>, decision: &mut Decision) {
    let wanted: BTreeMap<&str, Desired> = claims
        .of(name)
        .map(|node| (node, render::active(policy, node)))
        .collect();
    let members: Vec<Member<'_>> = wanted
        .iter()
        .filter_map(|(&node, desired)| {
            let datapath = world.datapaths.get(node).map(AsRef::as_ref);
            Some(Member::new(node, world.nodes.get(node)?, datapath, desired))
        })
        .collect();
    let max_unavailable = policy.spec.update_strategy.max_unavailable_of(members.len());
    let apply = rollout::admitted(&members, max_unavailable)
        .into_iter()
        .filter_map(|node| wanted.get_key_value(node))
        .filter(|(node, desired)| {
            !world
                .datapaths
                .get(**node)
                .is_some_and(|datapath| desired.is_in(datapath))
        })
        .map(|(_, desired)| desired.clone());
    decision.apply.extend(apply);
}

/// Nodes whose datapath has to go.
#[derive(Default)]
struct Leaving<'a> {
    /// Those that must still be waited for.
    nodes: Vec<&'a str>,
    /// Those of them that wait for kube-proxy.
    awaiting: Vec<&'a str>,
}

/// Datapaths of this policy that have to go.
fn leave<'a>(
    policy: &KubeProxyReplacement,
    name: &str,
    deleting: bool,
    claims: &Claims,
    world: &World<'a>,
    decision: &mut Decision,
) -> Leaving<'a> {
    let is_live = |other: &str| {
        let found = world.policies.iter().find(|policy| policy.name_any() == other);
        found.is_some_and(|policy| policy.metadata.deletion_timestamp.is_none())
    };
    let mut leaving = Leaving::default();
    let mut asked = 0;
    for (node, datapath) in world
        .datapaths
        .iter()
        .filter(|(_, datapath)| datapath.spec.policy == name)
    {
        match claims.owner(node) {
            // An object that is being deleted takes nothing over: two of them would wait for each other for ever.
            Some(owner) if owner != name && is_live(owner) => {
                // The other object takes it over as it is; until it has, ours must stay: the datapath is its child.
                leaving.nodes.push(node.as_str());
                continue;
            }
            Some(owner) if owner == name && !deleting => continue,
            _ => {}
        }
        match give_back::step(datapath, world.nodes.get(node), world.kube_proxy, world.now) {
            give_back::Step::Go => {}
            give_back::Step::GoWithout => decision.notices.push(notice::kube_proxy_not_back(node)),
            give_back::Step::Tell => {
                decision.apply.push(render::awaiting(policy, datapath, world.now));
                leaving.nodes.push(node);
                leaving.awaiting.push(node);
                continue;
            }
            give_back::Step::Wait(left) => {
                again(decision, left);
                leaving.nodes.push(node);
                leaving.awaiting.push(node);
                continue;
            }
        }
        let deletion = || Deletion {
            node: node.clone(),
            uid: datapath.uid(),
        };
        match drain::step(datapath, world.nodes.get(node), world.limits, world.now) {
            Step::Ask => {
                asked += 1;
                decision.apply.push(render::draining(policy, datapath, world.now));
                leaving.nodes.push(node);
            }
            Step::Wait(left) => {
                let desired = render::draining(policy, datapath, world.now);
                if !desired.is_in(datapath) {
                    decision.apply.push(desired);
                }
                again(decision, left);
                leaving.nodes.push(node);
            }
            Step::Release => decision.delete.push(deletion()),
            Step::GiveUp(why) => {
                decision.delete.push(deletion());
                decision.notices.push(notice::gave_up(node, why));
            }
        }
    }
    if asked > 0 {
        decision.notices.push(notice::draining(asked));
    }
    leaving
}

/// Look again after this time at the latest.
fn again(decision: &mut Decision, left: Duration) {
    decision.again_in = Some(decision.again_in.map_or(left, |again| again.min(left)));
}
