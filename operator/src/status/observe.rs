//! The conditions, one function each.

use std::collections::BTreeMap;

use kpr_crds::conditions::{
    self, ConditionStatus, NodeCondition, NodeReason, Observation, PolicyCondition, PolicyReason,
};
use kpr_crds::{Condition, NodeDatapath};

use super::{Pool, PoolNode, phrase};
use crate::{kube_proxy, rollout};

/// Longest text of an agent that is passed on in a message.
const QUOTED: usize = 200;

/// All conditions, in the order in which they are shown.
pub(super) fn all(pool: &Pool<'_>) -> Vec<Observation> {
    vec![
        available(pool),
        progressing(pool),
        degraded(pool),
        conflicted(pool),
        kube_proxy::outlook::condition(&pool.kube_proxy, &pool.nodes),
    ]
}

fn observation(
    type_: PolicyCondition,
    status: impl Into<ConditionStatus>,
    reason: PolicyReason,
    message: String,
) -> Observation {
    Observation {
        type_: type_.as_str(),
        status: status.into(),
        reason: reason.as_str(),
        message,
    }
}

fn available(pool: &Pool<'_>) -> Observation {
    let say = |status: bool, reason, message| observation(PolicyCondition::Available, status, reason, message);
    if pool.deleting {
        return say(false, PolicyReason::Draining, "the object is being deleted".to_owned());
    }
    if pool.nodes.is_empty() {
        return say(
            false,
            PolicyReason::NoNodes,
            "no node is in the pool: see spec.nodeSelector".to_owned(),
        );
    }
    let ready = pool.nodes.iter().filter(|node| node.ready()).count();
    let not_ready: Vec<_> = pool
        .nodes
        .iter()
        .filter(|node| node.up && !node.ready())
        .map(|node| node.name)
        .collect();
    let down: Vec<_> = pool
        .nodes
        .iter()
        .filter(|node| !node.up)
        .map(|node| node.name)
        .collect();

    let mut parts = vec![format!("{ready} of {} serve", phrase::nodes(pool.nodes.len()))];
    if !not_ready.is_empty() {
        parts.push(format!("not ready: {}", phrase::list(&not_ready)));
    }
    if !down.is_empty() {
        parts.push(format!(
            "not counted, as the Node itself is not ready: {}",
            phrase::list(&down)
        ));
    }
    // A node that the cluster has lost says nothing about kpr; but somewhere it must serve.
    let holds = not_ready.is_empty() && ready > 0;
    say(
        holds,
        if holds {
            PolicyReason::AllNodesReady
        } else {
            PolicyReason::NodesNotReady
        },
        parts.join("; "),
    )
}

fn progressing(pool: &Pool<'_>) -> Observation {
    let say = |status: bool, reason, message| observation(PolicyCondition::Progressing, status, reason, message);
    let total = pool.nodes.len();
    if pool.deleting {
        let names = phrase::list(pool.nodes.iter().map(|node| node.name));
        let message = match total {
            0 => "the datapath is removed from every node".to_owned(),
            _ => format!("removing the datapath from {}: {names}", phrase::nodes(total)),
        };
        return say(true, PolicyReason::Draining, message);
    }
    let generation = pool.generation;
    let updated = pool.nodes.iter().filter(|node| node.updated(generation)).count();
    let mut waiting = pool.nodes.iter().filter(|node| node.up && !node.updated(generation));
    let Some(first) = waiting.next() else {
        let message = format!("{updated}/{total} nodes at generation {generation}");
        return say(false, PolicyReason::RolledOut, message);
    };
    let mut parts = vec![format!(
        "{updated}/{total} nodes at generation {generation}, waiting for {}: {}",
        first.name,
        why(first)
    )];
    let more: Vec<_> = waiting.map(|node| node.name).collect();
    if !more.is_empty() {
        parts.push(format!("then {}", phrase::list(&more)));
    }
    say(true, PolicyReason::RollingOut, parts.join("; "))
}

/// Why a node does not have the newest generation yet.
fn why(node: &PoolNode<'_>) -> String {
    let Some(datapath) = node.datapath else {
        return "its agent has not reported yet".to_owned();
    };
    if let Some(failure) = failure(datapath) {
        return failure;
    }
    if datapath.status.is_none() {
        return "its agent has not reported yet".to_owned();
    }
    if rollout::carried_out(datapath) {
        return "its turn has not come".to_owned();
    }
    "its agent is applying it".to_owned()
}

fn degraded(pool: &Pool<'_>) -> Observation {
    let failing: Vec<String> = pool
        .nodes
        .iter()
        .filter(|node| node.up)
        .filter_map(|node| Some(format!("{}: {}", node.name, failure(node.datapath?)?)))
        .collect();
    if failing.is_empty() {
        let message = "no node reports a failure".to_owned();
        return observation(PolicyCondition::Degraded, false, PolicyReason::AsExpected, message);
    }
    observation(
        PolicyCondition::Degraded,
        true,
        PolicyReason::NodesFailing,
        phrase::list(&failing),
    )
}

/// What a node says that it can't do, in its own words.
fn failure(datapath: &NodeDatapath) -> Option<String> {
    let conditions = &datapath.status.as_ref()?.conditions;
    // `Ready` last: it only sums up what the others say in detail.
    [
        NodeCondition::DevicesAttached,
        NodeCondition::ServicesSynced,
        NodeCondition::SnatPortsAvailable,
        NodeCondition::Ready,
    ]
    .into_iter()
    .filter_map(|type_| conditions::find(conditions, type_.as_str()))
    .find(|condition| condition.status == "False" && !transient(condition))
    .map(|condition| format!("{}: {}", condition.reason, cut(&condition.message)))
}

fn transient(condition: &Condition) -> bool {
    [NodeReason::Starting, NodeReason::Syncing, NodeReason::Draining]
        .iter()
        .any(|reason| condition.reason == reason.as_str())
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(QUOTED).map_or(text.len(), |(index, _)| index);
    &text[..end]
}

fn conflicted(pool: &Pool<'_>) -> Observation {
    if pool.lost.is_empty() || pool.deleting {
        let message = "every selected node belongs to this object".to_owned();
        return observation(PolicyCondition::Conflicted, false, PolicyReason::NoConflict, message);
    }
    let mut by_owner: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for &(node, owner) in &pool.lost {
        by_owner.entry(owner).or_default().push(node);
    }
    let lists: Vec<_> = by_owner
        .iter()
        .map(|(owner, nodes)| format!("{} to {owner:?}", phrase::list(nodes)))
        .collect();
    let (count, verb) = match pool.lost.len() {
        1 => ("1 selected node".to_owned(), "belongs"),
        count => (format!("{count} selected nodes"), "belong"),
    };
    let message = format!("{count} {verb} to an older KubeProxyReplacement: {}", lists.join("; "));
    observation(PolicyCondition::Conflicted, true, PolicyReason::NodesClaimed, message)
}
