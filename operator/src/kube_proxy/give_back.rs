//! When a node may let its datapath go: kube-proxy serves there again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kpr_crds::conditions::{self, NodeCondition, NodeReason};
use kpr_crds::{KubeProxyPolicy, KubeProxyRules, NodeDatapath, Phase};
use kube::ResourceExt;

use super::Input;
use crate::node::NodeView;
use crate::render::awaited_since;

/// What a node that is to let its datapath go does about kube-proxy first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing: it is there, or is not to be.
    Go,
    /// It has been waited for long enough.
    GoWithout,
    /// Be told to leave its rules alone, and to wait.
    Tell,
    /// Wait; look again after this time at the latest.
    Wait(Duration),
}

/// The next step of a node whose datapath has to go.
pub fn step(datapath: &NodeDatapath, node: Option<&NodeView>, kube_proxy: Input<'_>, now: Timestamp) -> Step {
    let parked = datapath.spec.kube_proxy.policy == KubeProxyPolicy::Disable;
    let Some(node) = node.filter(|node| node.up && parked && datapath.spec.phase == Phase::Active) else {
        return Step::Go;
    };
    let keeps = datapath.spec.kube_proxy_rules == KubeProxyRules::Keep;
    if keeps && (comes_not(&datapath.name_any(), node, kube_proxy) || serves(datapath, kube_proxy)) {
        return Step::Go;
    }
    let Some(since) = awaited_since(datapath).filter(|_| keeps) else {
        return Step::Tell;
    };
    let waited = Duration::try_from(now.duration_since(since).max(SignedDuration::ZERO)).unwrap_or_default();
    match kube_proxy.patience.checked_sub(waited) {
        Some(left) if !left.is_zero() => Step::Wait(left),
        _ => Step::GoWithout,
    }
}

/// Nothing runs there, and no DaemonSet would run there.
fn comes_not(name: &str, node: &NodeView, kube_proxy: Input<'_>) -> bool {
    kube_proxy.state.is_some_and(|state| {
        state.on(name).is_empty() && !state.daemon_sets.iter().any(|set| set.selects(&node.labels))
    })
}

/// Its pod is ready, and its rules are there: flows that the datapath hands over have somewhere to go.
fn serves(datapath: &NodeDatapath, kube_proxy: Input<'_>) -> bool {
    let Some(status) = &datapath.status else { return false };
    let ready = kube_proxy
        .state
        .is_some_and(|state| state.on(&datapath.name_any()).iter().any(|pod| pod.ready));
    let seen = status.observed_generation >= datapath.metadata.generation;
    let says = conditions::find(&status.conditions, NodeCondition::KubeProxyAbsent.as_str());
    let has_rules = says.is_some_and(|says| {
        [NodeReason::Running, NodeReason::RulesLeft]
            .iter()
            .any(|reason| says.reason == reason.as_str())
    });
    ready && seen && has_rules
}
