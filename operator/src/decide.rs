//! From what is, to what has to be written: the whole of a reconciliation, without I/O.

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
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
use crate::render::{self, Desired, Owner};
use crate::rollout::{self, Context, Member, Memory, Plan};
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
    pub status: Option<NewStatus>,
    /// Events to publish.
    pub notices: Vec<Notice>,
    /// Look again after this time, even if nothing happens.
    pub again_in: Option<Duration>,
}

/// A status that differs from the one that the object has.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStatus {
    /// The status.
    pub status: KubeProxyReplacementStatus,
    /// Does something wait for it to be written? All else can be written a little later, with what changes until then.
    pub urgent: bool,
    /// Events to publish when it is written.
    pub notices: Vec<Notice>,
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
    let plan = if deleting {
        None
    } else {
        let plan = serve(policy, &name, &claims, world, &mut decision);
        kube_proxy.tell(&question, &mut decision.apply);
        Some(plan)
    };
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
        policy: &name,
        generation,
        nodes,
        lost: claims.lost_by(&name).collect(),
        plan,
        kube_proxy: kube_proxy.outlook,
    };
    let status = status::aggregate(policy, &pool, world.now);
    if policy.status.as_ref() != Some(&status) {
        decision.status = Some(NewStatus {
            urgent: urgent(policy.status.as_ref(), &status),
            notices: notice::of_transition(policy.spec.mode, policy.status.as_ref(), &status),
            status,
        });
    }
    decision
}

/// Nothing is done about a failure before it is written down; and whoever has just changed the object looks at it.
fn urgent(old: Option<&KubeProxyReplacementStatus>, new: &KubeProxyReplacementStatus) -> bool {
    old.is_none_or(|old| {
        let failure = |status: &KubeProxyReplacementStatus| Some(status.rollout.as_ref()?.failure.as_ref()?.generation);
        old.observed_generation != new.observed_generation || failure(old) != failure(new)
    })
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

/// Datapaths of the pool that have to be written now.
fn serve<'a>(
    policy: &KubeProxyReplacement,
    name: &str,
    claims: &Claims<'a>,
    world: &World<'a>,
    decision: &mut Decision,
) -> Plan<'a> {
    let members: Vec<Member<'a>> = claims
        .of(name)
        .filter_map(|node| {
            Some(Member {
                name: node,
                up: world.nodes.get(node)?.up,
                datapath: world.datapaths.get(node).map(AsRef::as_ref),
            })
        })
        .collect();
    let context = Context {
        newest: &render::active(policy),
        strategy: &policy.spec.update_strategy,
        before: policy.status.as_ref().and_then(|status| status.rollout.as_ref()),
        now: world.now,
    };
    let mut plan = rollout::plan(&members, &context);
    let owner = Owner::new(policy);
    let desired = |node: &str, spec, memory| Desired {
        node: node.to_owned(),
        owner: owner.clone(),
        spec,
        memory,
        draining_since: None,
        awaited_since: None,
    };
    // Whoever takes a datapath's owner or label away gets them back, at once.
    let written: BTreeSet<&str> = plan.changes.iter().map(|change| change.node).collect();
    let astray = members
        .iter()
        .filter(|member| !written.contains(member.name))
        .filter_map(|member| member.datapath.filter(|datapath| datapath.spec.policy == name))
        .filter(|datapath| !owner.has(datapath))
        .map(|datapath| desired(&datapath.name_any(), datapath.spec.clone(), Memory::of(datapath)));
    decision.apply.extend(astray);
    let changes = std::mem::take(&mut plan.changes);
    decision.apply.extend(
        changes
            .into_iter()
            .map(|change| desired(change.node, change.spec, Some(change.memory))),
    );
    decision.again_in = plan.again_in;
    plan
}

/// Nodes whose datapath has to go.
#[derive(Default)]
struct Leaving<'a> {
    /// Those that must still be waited for.
    nodes: Vec<&'a str>,
    /// Those of them that wait for kube-proxy.
    awaiting: Vec<&'a str>,
}

/// How many more nodes may be asked to remove their datapath now: like any other change, it goes to `maxUnavailable` nodes at a time,
/// so that a removal that goes wrong is seen before it has gone everywhere. Nodes that are down hold up nobody.
fn drain_budget(policy: &KubeProxyReplacement, name: &str, world: &World<'_>) -> usize {
    let own = || {
        world
            .datapaths
            .iter()
            .filter(|(_, datapath)| datapath.spec.policy == name)
    };
    let on_their_way = own().filter(|(node, datapath)| {
        let node = world.nodes.get(*node);
        node.is_some_and(|node| node.up)
            && matches!(drain::step(datapath, node, world.limits, world.now), Step::Wait(_))
    });
    let limit = policy.spec.update_strategy.max_unavailable_of(own().count());
    limit.saturating_sub(on_their_way.count())
}

/// Datapaths of this policy that have to go.
fn leave<'a>(
    policy: &KubeProxyReplacement,
    name: &str,
    deleting: bool,
    claims: &Claims<'_>,
    world: &World<'a>,
    decision: &mut Decision,
) -> Leaving<'a> {
    let is_live = |other: &str| {
        let found = world.policies.iter().find(|policy| policy.name_any() == other);
        found.is_some_and(|policy| policy.metadata.deletion_timestamp.is_none())
    };
    let mut leaving = Leaving::default();
    let mut asked = 0;
    // Counted when the first node is to be asked: most policies have none that leaves.
    let mut budget = None;
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
                leaving.nodes.push(node);
                let budget = budget.get_or_insert_with(|| drain_budget(policy, name, world));
                if *budget == 0 && world.nodes.get(node).is_some_and(|node| node.up) {
                    // Its turn comes when another's removal is confirmed, or given up.
                    continue;
                }
                *budget = budget.saturating_sub(1);
                asked += 1;
                decision.apply.push(render::draining(policy, datapath, world.now));
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
