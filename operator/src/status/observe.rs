//! The conditions, one function each.

use std::collections::BTreeMap;

use kpr_crds::RolloutFailure;
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, Observation, PolicyCondition, PolicyReason};

use super::{Pool, PoolNode, phrase};
use crate::kube_proxy;
use crate::rollout::{Phase, health};

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
    if pool.plan.is_none() {
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
    let Some(plan) = &pool.plan else {
        let names = phrase::list(pool.nodes.iter().map(|node| node.name));
        let message = match total {
            0 => "the datapath is removed from every node".to_owned(),
            _ => format!("removing the datapath from {}: {names}", phrase::nodes(total)),
        };
        return say(true, PolicyReason::Draining, message);
    };
    let progress = &plan.progress;
    let generation = pool.generation;
    let updated = pool.nodes.iter().filter(|node| node.updated(generation)).count();
    let count = format!("{updated}/{total} nodes at generation {generation}");
    let failed = |failure: &RolloutFailure| format!("generation {generation}, which {}", on_its_node(failure));
    let failed = progress.failure.as_ref().map_or_else(String::new, failed);
    let waiting = |verb: &str| {
        let first = progress.waiting.iter();
        let first = first.map(|waiting| format!("{verb} {}: {}", waiting.node, waiting.why));
        let then = Some(&progress.then).filter(|then| !then.is_empty());
        let then = then.map(|then| format!("then {}", phrase::list(then)));
        first.chain(then).collect::<Vec<_>>().join("; ")
    };
    match progress.phase {
        Phase::RolledOut => say(false, PolicyReason::RolledOut, count),
        Phase::RollingOut => {
            let message = format!("{count}, {}", waiting("waiting for"));
            say(true, PolicyReason::RollingOut, message)
        }
        Phase::Stalled => {
            let message = format!("{count}, {}", waiting("held up by"));
            say(false, PolicyReason::RolloutStalled, message)
        }
        Phase::Halted => {
            let failed = failed.replacen("generation", "nodes at generation", 1);
            let message = format!("halted with {updated}/{total} {failed}");
            say(false, PolicyReason::RolloutHalted, message)
        }
        Phase::RollingBack => {
            let message = format!("going back from {failed}; {}", waiting("waiting for"));
            say(true, PolicyReason::RollingBack, message)
        }
        Phase::RollbackStalled => {
            let message = format!("going back from {failed}; {}", waiting("held up by"));
            say(false, PolicyReason::RollbackStalled, message)
        }
        Phase::RolledBack => say(false, PolicyReason::RolledBack, format!("went back from {failed}")),
    }
}

fn on_its_node(failure: &RolloutFailure) -> String {
    format!("failed on {}: {}: {}", failure.node, failure.reason, failure.message)
}

fn degraded(pool: &Pool<'_>) -> Observation {
    let failing: Vec<String> = pool
        .nodes
        .iter()
        .filter(|node| node.up)
        .filter_map(|node| {
            Some(format!(
                "{}: {}",
                node.name,
                health::in_words(health::failure(node.datapath?)?)
            ))
        })
        .collect();
    let failed = pool.plan.as_ref().and_then(|plan| plan.record.failure.as_ref());
    let failed = failed.filter(|failure| failure.generation == pool.generation);
    let unknown = unknown_fields(pool);
    let without_dsr = without_dsr(pool);
    let reason = if !failing.is_empty() {
        PolicyReason::NodesFailing
    } else if failed.is_some() {
        PolicyReason::RolloutFailed
    } else if !unknown.is_empty() {
        PolicyReason::UnknownFields
    } else if !without_dsr.is_empty() {
        PolicyReason::NodesWithoutDsr
    } else {
        let message = "no node reports a failure".to_owned();
        return observation(PolicyCondition::Degraded, false, PolicyReason::AsExpected, message);
    };
    let mut parts = Vec::new();
    if !failing.is_empty() {
        parts.push(phrase::list(&failing));
    }
    parts.extend(failed.map(|failure| format!("generation {} {}", failure.generation, on_its_node(failure))));
    if !unknown.is_empty() {
        let fields: Vec<_> = unknown
            .iter()
            .map(|(field, nodes)| format!("{field} on {}", phrase::list(nodes)))
            .collect();
        let fields = phrase::list(fields);
        parts.push(format!("not carried out, as agents are too old for it: {fields}"));
    }
    if !without_dsr.is_empty() {
        parts.push(phrase::list(&without_dsr));
    }
    observation(PolicyCondition::Degraded, true, reason, parts.join("; "))
}

/// Nodes that use SNAT where DSR is asked for. While a generation is on its way, that is as it should be: nodes that were not told of DSR yet
/// do not take it.
fn without_dsr(pool: &Pool<'_>) -> Vec<String> {
    let is_on_its_way = pool
        .plan
        .as_ref()
        .is_none_or(|plan| plan.progress.phase != Phase::RolledOut);
    if is_on_its_way {
        return Vec::new();
    }
    let falls_back = |node: &PoolNode<'_>| {
        let conditions = &node.datapath?.status.as_ref()?.conditions;
        let condition = conditions::find(conditions, NodeCondition::DsrReady.as_str())?;
        (condition.status == "False").then(|| format!("{}: {}", node.name, condition.message))
    };
    pool.nodes.iter().filter_map(falls_back).collect()
}

/// Fields of the spec that agents don't know, each with their nodes.
fn unknown_fields<'a>(pool: &Pool<'a>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &pool.nodes {
        let status = node.datapath.and_then(|datapath| datapath.status.as_ref());
        for field in status.iter().flat_map(|status| &status.unknown_fields) {
            fields.entry(field).or_default().push(node.name);
        }
    }
    fields
}

fn conflicted(pool: &Pool<'_>) -> Observation {
    if pool.lost.is_empty() || pool.plan.is_none() {
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
    let (nodes, verb) = (
        phrase::nodes(pool.lost.len()),
        if pool.lost.len() == 1 { "belongs" } else { "belong" },
    );
    let message = format!(
        "{nodes} that {:?} selects {verb} to an older KubeProxyReplacement: {}",
        pool.policy,
        lists.join("; ")
    );
    observation(PolicyCondition::Conflicted, true, PolicyReason::NodesClaimed, message)
}
