//! What the user is told about kube-proxy: the condition `KubeProxyAbsent` of a policy.

use kpr_crds::NodeDatapath;
use kpr_crds::conditions::{
    self, ConditionStatus, NodeCondition, NodeReason, Observation, PolicyCondition, PolicyReason,
};

use crate::status::{PoolNode, phrase};

/// What becomes of kube-proxy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Outlook<'a> {
    /// Nothing: it is only looked at.
    #[default]
    Observed,
    /// It is to be parked, once these nodes serve.
    WaitingForNodes(Vec<&'a str>),
    /// It can't be parked, and why, and what to do.
    NotParkable(String),
    /// It is parked, but still on these nodes.
    Parking(Vec<&'a str>),
    /// It is parked: this DaemonSet.
    Parked(String),
    /// It is brought back: this DaemonSet, which these nodes still wait for.
    Restoring(String, Vec<&'a str>),
}

/// The condition `KubeProxyAbsent`.
pub fn condition(outlook: &Outlook<'_>, nodes: &[PoolNode<'_>]) -> Observation {
    let (status, reason, message) = match outlook {
        Outlook::Observed => observed(nodes),
        Outlook::WaitingForNodes(waiting) => (
            ConditionStatus::False,
            PolicyReason::WaitingForNodes,
            format!(
                "kube-proxy is parked once every node is ready: waiting for {}",
                phrase::list(waiting)
            ),
        ),
        Outlook::NotParkable(why) => (ConditionStatus::False, PolicyReason::NotParkable, why.clone()),
        Outlook::Parking(on) => (
            ConditionStatus::False,
            PolicyReason::Parking,
            format!("kube-proxy is parked, and about to end on {}", phrase::list(on)),
        ),
        Outlook::Parked(set) => parked(set, nodes),
        Outlook::Restoring(set, waiting) if waiting.is_empty() => (
            ConditionStatus::False,
            PolicyReason::Restoring,
            format!("DaemonSet {set} is brought back"),
        ),
        Outlook::Restoring(set, waiting) => (
            ConditionStatus::False,
            PolicyReason::Restoring,
            format!(
                "DaemonSet {set} is brought back before the datapath goes: waiting for {}",
                phrase::list(waiting)
            ),
        ),
    };
    Observation {
        type_: PolicyCondition::KubeProxyAbsent.as_str(),
        status,
        reason: reason.as_str(),
        message,
    }
}

type Because = (ConditionStatus, PolicyReason, String);

fn observed(nodes: &[PoolNode<'_>]) -> Because {
    let found: Vec<_> = with_status(nodes, ConditionStatus::False).collect();
    if !found.is_empty() {
        let message = format!("kube-proxy or its rules are on {}", phrase::list(found));
        return (ConditionStatus::False, PolicyReason::Found, message);
    }
    let silent: Vec<_> = with_status(nodes, ConditionStatus::Unknown).collect();
    if nodes.is_empty() {
        let message = "no node is in the pool".to_owned();
        return (ConditionStatus::Unknown, PolicyReason::NotReported, message);
    }
    if !silent.is_empty() {
        let message = format!("not reported yet by {}", phrase::list(silent));
        return (ConditionStatus::Unknown, PolicyReason::NotReported, message);
    }
    let message = "no node has kube-proxy or its rules".to_owned();
    (ConditionStatus::True, PolicyReason::NotFound, message)
}

fn parked(set: &str, nodes: &[PoolNode<'_>]) -> Because {
    let failed: Vec<String> = nodes
        .iter()
        .filter_map(|node| Some(format!("{}: {}", node.name, failure(node.datapath?)?)))
        .collect();
    if !failed.is_empty() {
        return (
            ConditionStatus::False,
            PolicyReason::CleanUpFailed,
            phrase::list(failed),
        );
    }
    let found: Vec<_> = with_status(nodes, ConditionStatus::False).collect();
    if !found.is_empty() {
        let message = format!(
            "DaemonSet {set} is parked, and its rules are removed from {}",
            phrase::list(found)
        );
        return (ConditionStatus::False, PolicyReason::CleaningUp, message);
    }
    let silent: Vec<_> = with_status(nodes, ConditionStatus::Unknown).collect();
    if !silent.is_empty() {
        let message = format!(
            "DaemonSet {set} is parked; what is left of it is not reported yet by {}",
            phrase::list(silent)
        );
        return (ConditionStatus::Unknown, PolicyReason::NotReported, message);
    }
    let message = format!("DaemonSet {set} is parked, and no node has kube-proxy or its rules");
    (ConditionStatus::True, PolicyReason::Parked, message)
}

/// Why a node can't remove kube-proxy's rules, in its own words.
fn failure(datapath: &NodeDatapath) -> Option<&str> {
    let conditions = &datapath.status.as_ref()?.conditions;
    let condition = conditions::find(conditions, NodeCondition::KubeProxyAbsent.as_str())?;
    (condition.reason == NodeReason::CleanUpFailed.as_str()).then_some(condition.message.as_str())
}

fn with_status<'a>(nodes: &[PoolNode<'a>], wanted: ConditionStatus) -> impl Iterator<Item = &'a str> {
    nodes
        .iter()
        .filter(move |node| absent(node) == wanted)
        .map(|node| node.name)
}

fn absent(node: &PoolNode<'_>) -> ConditionStatus {
    node.datapath
        .and_then(|datapath| datapath.status.as_ref())
        .map_or(ConditionStatus::Unknown, |status| {
            conditions::status(&status.conditions, NodeCondition::KubeProxyAbsent.as_str())
        })
}
