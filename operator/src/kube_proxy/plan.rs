//! What becomes of kube-proxy now, for one policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kpr_crds::conditions::{self, NodeCondition, NodeReason};
use kpr_crds::{KubeProxyPolicy, KubeProxyReplacement, KubeProxyRules, Mode, NodeDatapath, NodeSelector, Phase};
use kube::ResourceExt;
use serde_json::Value;

use super::outlook::Outlook;
use super::parking::{self, Holders};
use super::view::{DaemonSetView, State};
use crate::node::NodeView;
use crate::notice::Notice;
use crate::render::{self, Desired};
use crate::rollout::health;
use crate::status::phrase;

/// Everything that the plan for a policy depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The policy.
    pub policy: &'a KubeProxyReplacement,
    /// Every policy.
    pub policies: &'a [Arc<KubeProxyReplacement>],
    /// Nodes that are the policy's.
    pub pool: &'a [&'a str],
    /// Nodes that it selects, but that belong to another one (second).
    pub lost: &'a [(&'a str, &'a str)],
    /// Every Node, by name.
    pub nodes: &'a BTreeMap<String, NodeView>,
    /// Every `NodeDatapath`, by name.
    pub datapaths: &'a BTreeMap<String, Arc<NodeDatapath>>,
    /// What there is of kube-proxy; none while that is not known.
    pub state: Option<&'a State<'a>>,
}

/// What becomes of kube-proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// Changes of its DaemonSets.
    pub patches: Vec<Patch>,
    /// What the user is told.
    pub outlook: Outlook<'a>,
    /// Events to publish.
    pub notices: Vec<Notice>,
    /// Nodes that are to remove its rules; none while nothing is known: then each stays with what it was told.
    remove: Option<BTreeSet<&'a str>>,
}

/// A change of a DaemonSet, for the version of it that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Namespace of the DaemonSet.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// A merge patch.
    pub body: Value,
}

/// Decides what becomes of kube-proxy.
pub fn plan<'a>(question: &Question<'a>) -> Plan<'a> {
    let Some(state) = question.state else {
        return Plan::default();
    };
    let name = question.policy.name_any();
    let spec = &question.policy.spec;
    let deleting = question.policy.metadata.deletion_timestamp.is_some();
    let wants = !deleting && spec.kube_proxy.policy == KubeProxyPolicy::Disable && spec.mode == Mode::Strict;
    let holds = state.daemon_sets.iter().any(|set| set.parked_by.contains(&name));
    let mut plan = Plan {
        remove: Some(BTreeSet::new()),
        ..Plan::default()
    };
    match (wants, holds) {
        (true, _) if state.daemon_sets.is_empty() => without_daemon_set(question, state, &mut plan),
        (true, false) => park(question, state, &name, &mut plan),
        (true, true) => keep_parked(question, state, &name, &mut plan),
        (false, true) => restore(question, state, &name, &mut plan),
        (false, false) => {}
    }
    plan
}

impl<'a> Plan<'a> {
    /// What this node is to do with kube-proxy's rules; none: what it was told.
    pub fn rules(&self, node: &str) -> Option<KubeProxyRules> {
        let removes = self.remove.as_ref()?.contains(node);
        Some(if removes {
            KubeProxyRules::Remove
        } else {
            KubeProxyRules::Keep
        })
    }

    /// Sees to it that every node of the pool is told: in what is written to it anyway, or else in a write of its own.
    pub fn tell(&self, question: &Question<'a>, apply: &mut Vec<Desired>) {
        let known = |node: &str| question.datapaths.get(node).map(AsRef::as_ref);
        for desired in apply.iter_mut().filter(|desired| desired.spec.phase == Phase::Active) {
            let told = known(&desired.node).map(|datapath| datapath.spec.kube_proxy_rules);
            desired.spec.kube_proxy_rules = self.rules(&desired.node).or(told).unwrap_or_default();
        }
        let name = question.policy.name_any();
        let written: BTreeSet<String> = apply.iter().map(|desired| desired.node.clone()).collect();
        for node in question.pool {
            let own = |datapath: &&NodeDatapath| datapath.spec.policy == name && datapath.spec.phase == Phase::Active;
            let Some((datapath, rules)) = known(node).filter(own).zip(self.rules(node)) else {
                continue;
            };
            if datapath.spec.kube_proxy_rules != rules && !written.contains(*node) {
                apply.push(render::with_rules(question.policy, datapath, rules));
            }
        }
    }
}

/// There is none to park. Rules that it left go; but not those of one that runs as a part of something else.
fn without_daemon_set<'a>(question: &Question<'a>, state: &State<'a>, plan: &mut Plan<'a>) {
    let says = |node: &str| reported(question.datapaths.get(node).map(AsRef::as_ref));
    let runs = |reason: &str| {
        [NodeReason::Running, NodeReason::RulesMissing]
            .iter()
            .any(|runs| runs.as_str() == reason)
    };
    let (statics, others): (Vec<&str>, Vec<&str>) = question.pool.iter().partition(|node| state.is_static_on(node));
    let embedded: Vec<&str> = others
        .iter()
        .filter(|node| says(node).is_some_and(runs))
        .copied()
        .collect();
    if !statics.is_empty() {
        plan.outlook = Outlook::NotParkable(static_pods(&statics));
    } else if !embedded.is_empty() {
        plan.outlook = Outlook::NotParkable(format!(
            "kube-proxy runs on {} but has no DaemonSet: it is a part of another program there, as in k3s, which has to be told \
             to run without it (k3s: --disable-kube-proxy)",
            phrase::list(&embedded)
        ));
    }
    let ready = ready_nodes(question);
    let free = |node: &&str| says(node).is_some_and(|reason| !runs(reason)) && ready.contains(node);
    plan.remove = Some(others.into_iter().filter(free).collect());
}

/// It runs, and is to be parked once every node serves.
fn park<'a>(question: &Question<'a>, state: &State<'a>, name: &str, plan: &mut Plan<'a>) {
    if let Some(why) = obstacle(question, state) {
        plan.outlook = Outlook::NotParkable(why);
        return;
    }
    let ready = ready_nodes(question);
    let waiting: Vec<&str> = question
        .pool
        .iter()
        .filter(|node| !ready.contains(**node))
        .copied()
        .collect();
    if question.pool.is_empty() {
        return;
    }
    if !waiting.is_empty() {
        plan.outlook = Outlook::WaitingForNodes(waiting);
        return;
    }
    match patches(question, state, name, true) {
        Ok(patches) => {
            plan.patches = patches;
            plan.outlook = Outlook::Parking(question.pool.to_vec());
            plan.notices.push(told(
                "KubeProxyParked",
                format!("every node serves: DaemonSet {} is parked", state.names()),
            ));
        }
        Err(refused) => plan.outlook = Outlook::NotParkable(refused.to_string()),
    }
}

/// It is parked for this policy, whatever becomes of nodes from now on: one that has no kube-proxy any more needs none.
fn keep_parked<'a>(question: &Question<'a>, state: &State<'a>, name: &str, plan: &mut Plan<'a>) {
    match patches(question, state, name, true) {
        Ok(patches) => plan.patches = patches,
        Err(refused) => {
            plan.outlook = Outlook::NotParkable(refused.to_string());
            return;
        }
    }
    let on: Vec<&str> = question
        .pool
        .iter()
        .filter(|node| state.is_parkable_on(node))
        .copied()
        .collect();
    let statics: Vec<&str> = question
        .pool
        .iter()
        .filter(|node| state.is_static_on(node))
        .copied()
        .collect();
    plan.outlook = if !on.is_empty() {
        Outlook::Parking(on)
    } else if !statics.is_empty() {
        Outlook::NotParkable(static_pods(&statics))
    } else {
        Outlook::Parked(state.names())
    };
    // Somebody else may have let it back: then its pods come before our next patch.
    let parked = state.daemon_sets.iter().all(|set| parking::is_parked(set));
    let free = question.pool.iter().filter(|node| parked && state.on(node).is_empty());
    plan.remove = Some(free.copied().collect());
}

/// It is to come back: once no node removes its rules any more.
fn restore<'a>(question: &Question<'a>, state: &State<'a>, name: &str, plan: &mut Plan<'a>) {
    let own = question
        .datapaths
        .iter()
        .filter(|(_, datapath)| datapath.spec.policy == name);
    let pending: Vec<&'a str> = own
        .filter(|(node, datapath)| {
            question.nodes.get(*node).is_some_and(|node| node.up) && !leaves_rules_alone(datapath)
        })
        .map(|(node, _)| node.as_str())
        .collect();
    plan.outlook = Outlook::Restoring(state.names(), pending.clone());
    if !pending.is_empty() {
        return;
    }
    match patches(question, state, name, false) {
        Ok(patches) => {
            plan.patches = patches;
            plan.notices.push(told(
                "KubeProxyRestored",
                format!("DaemonSet {} is let back to the nodes", state.names()),
            ));
        }
        Err(refused) => plan.outlook = Outlook::NotParkable(refused.to_string()),
    }
}

/// Has the agent taken note that the rules are to stay?
fn leaves_rules_alone(datapath: &NodeDatapath) -> bool {
    let generation = datapath.metadata.generation.unwrap_or_default();
    let seen = datapath.status.as_ref().and_then(|status| status.observed_generation);
    // An agent that has never answered removes nothing.
    datapath.spec.kube_proxy_rules == KubeProxyRules::Keep && seen.is_none_or(|seen| seen >= generation)
}

/// The DaemonSets' patches for the policies that park them, with or without this one.
fn patches(question: &Question<'_>, state: &State<'_>, name: &str, held: bool) -> Result<Vec<Patch>, parking::Refusal> {
    let mut patches = Vec::new();
    for set in &state.daemon_sets {
        let body = parking::patch(set, &holders(question, set, name, held))?;
        patches.extend(body.map(|body| Patch {
            namespace: set.namespace.clone(),
            name: set.name.clone(),
            body,
        }));
    }
    Ok(patches)
}

/// Who keeps it parked: this policy or not, and those others that do. A policy that is gone holds nothing.
fn holders<'a>(question: &Question<'a>, set: &DaemonSetView, name: &str, held: bool) -> Holders<'a> {
    let pool = |policy: &'a KubeProxyReplacement| -> Option<&'a NodeSelector> { policy.spec.node_selector.as_ref() };
    question
        .policies
        .iter()
        .filter(|policy| {
            let other = policy.name_any();
            if other == name {
                held
            } else {
                set.parked_by.contains(&other)
            }
        })
        .filter_map(|policy| Some((policy.metadata.name.as_deref()?, pool(policy))))
        .collect()
}

/// Why the DaemonSets can't be parked for this policy.
fn obstacle(question: &Question<'_>, state: &State<'_>) -> Option<String> {
    let managed = state.daemon_sets.iter().find_map(|set| Some((set, set.managed_by?)));
    if let Some((set, manager)) = managed {
        return Some(format!(
            "DaemonSet {} is managed by {manager}, which would undo a change: take kube-proxy out of what it manages",
            set.full_name()
        ));
    }
    let parks = |other: &str| {
        let policy = question.policies.iter().find(|policy| policy.name_any() == other);
        policy.is_some_and(|policy| policy.spec.kube_proxy.policy == KubeProxyPolicy::Disable)
    };
    let foreign = question.lost.iter().find(|(_, owner)| !parks(owner));
    foreign.map(|(node, owner)| {
        format!(
            "{node} is selected by this object, too, but belongs to {owner:?}, which keeps kube-proxy: make the node selectors \
             exclude each other"
        )
    })
}

/// Nodes of the pool that serve with the newest generation.
fn ready_nodes<'a>(question: &Question<'a>) -> BTreeSet<&'a str> {
    let generation = question.policy.metadata.generation.unwrap_or_default();
    let name = question.policy.name_any();
    let is_ready = |node: &&&str| {
        let up = question.nodes.get(**node).is_some_and(|node| node.up);
        let datapath = question.datapaths.get(**node);
        up && datapath.is_some_and(|datapath| {
            let Some(status) = &datapath.status else { return false };
            health::serving(datapath)
                && datapath.spec.policy == name
                && datapath.spec.phase == Phase::Active
                && datapath.spec.policy_generation == generation
                && status.policy_generation == Some(generation)
                && conditions::is_true(&status.conditions, NodeCondition::ServicesSynced.as_str())
        })
    };
    question.pool.iter().filter(is_ready).copied().collect()
}

/// The reason of what the node says of kube-proxy, if it says anything.
fn reported(datapath: Option<&NodeDatapath>) -> Option<&str> {
    let conditions = &datapath?.status.as_ref()?.conditions;
    let condition = conditions::find(conditions, NodeCondition::KubeProxyAbsent.as_str())?;
    (condition.reason != NodeReason::NotChecked.as_str()).then_some(condition.reason.as_str())
}

fn static_pods(nodes: &[&str]) -> String {
    format!(
        "kube-proxy is a static pod on {}: take its manifest away there (RKE2: disable-kube-proxy: true)",
        phrase::list(nodes)
    )
}

fn told(reason: &'static str, note: String) -> Notice {
    Notice {
        warning: false,
        reason,
        action: "KubeProxy",
        note,
    }
}
