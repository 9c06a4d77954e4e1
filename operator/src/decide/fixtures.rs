//! Objects for unit tests: builders with good defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, NodeReason, Observation};
use kpr_crds::{
    IntOrString, KubeProxyReplacement, KubeProxyReplacementSpec, NodeDatapath, NodeDatapathSpec, NodeDatapathStatus,
    NodeSelector, OnFailure, Phase, RolloutStatus, names,
};
use kube::ResourceExt;

use crate::node::NodeView;
use crate::render::{self, DRAINING_SINCE, Desired, Owner};
use crate::rollout::{Memory, ROLLOUT};

/// A time, in seconds.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// An up node without labels.
pub(crate) fn node() -> Node {
    Node {
        labels: BTreeMap::new(),
        up: true,
    }
}

pub(crate) struct Node {
    labels: BTreeMap<String, String>,
    up: bool,
}

impl Node {
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn down(mut self) -> Self {
        self.up = false;
        self
    }

    pub(crate) fn build(self) -> NodeView {
        NodeView {
            labels: self.labels.into(),
            up: self.up,
        }
    }
}

/// A policy of generation 1 for every node, created at second 0, with its finalizer.
pub(crate) fn policy(name: &str) -> Policy {
    let mut object = KubeProxyReplacement::new(name, KubeProxyReplacementSpec::default());
    object.metadata.uid = Some(format!("uid-of-{name}"));
    object.metadata.generation = Some(1);
    object.metadata.creation_timestamp = Some(Time(at(0)));
    object.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
    Policy(object)
}

pub(crate) struct Policy(KubeProxyReplacement);

impl Policy {
    pub(crate) fn generation(mut self, generation: i64) -> Self {
        self.0.metadata.generation = Some(generation);
        self
    }

    pub(crate) fn created(mut self, second: i64) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(at(second)));
        self
    }

    pub(crate) fn without_finalizer(mut self) -> Self {
        self.0.metadata.finalizers = None;
        self
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(at(0)));
        self
    }

    pub(crate) fn pool(mut self, pool: &str) -> Self {
        let match_labels = BTreeMap::from([("pool".to_owned(), pool.to_owned())]);
        self.0.spec.node_selector = Some(NodeSelector {
            match_labels,
            ..NodeSelector::default()
        });
        self
    }

    /// A change of the configuration that every node has to carry out.
    pub(crate) fn max_sessions(mut self, seconds: u32) -> Self {
        self.0.spec.session_affinity.default_timeout_seconds = seconds;
        self
    }

    pub(crate) fn max_unavailable(mut self, nodes: i32) -> Self {
        self.0.spec.update_strategy.max_unavailable = IntOrString::Int(nodes);
        self
    }

    pub(crate) fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.0.spec.update_strategy.on_failure = on_failure;
        self
    }

    pub(crate) fn rollout(mut self, rollout: RolloutStatus) -> Self {
        self.0.status.get_or_insert_default().rollout = Some(rollout);
        self
    }

    pub(crate) fn build(self) -> KubeProxyReplacement {
        self.0
    }
}

/// The datapath that this policy gives to a node, of generation 1, without status.
pub(crate) fn datapath(node: &str, policy: &KubeProxyReplacement) -> Datapath {
    let desired = Desired {
        node: node.to_owned(),
        owner: Owner::new(policy),
        spec: render::active(policy),
        memory: None,
        draining_since: None,
        awaited_since: None,
    };
    let applied = desired.to_apply().expect("JSON");
    let mut object: NodeDatapath = serde_json::from_value(applied).expect("object");
    object.metadata.uid = Some(format!("uid-of-datapath-{node}"));
    object.metadata.generation = Some(1);
    Datapath(object)
}

/// What the API server makes of a datapath when this is applied.
pub(crate) fn applied(desired: &Desired, old: Option<&NodeDatapath>) -> NodeDatapath {
    let body = desired.to_apply().expect("JSON");
    let mut new: NodeDatapath = serde_json::from_value(body).expect("object");
    new.metadata.generation = Some(1);
    if let Some(old) = old {
        let bump = i64::from(old.spec != new.spec);
        new.metadata.generation = old.metadata.generation.map(|generation| generation + bump);
        new.status.clone_from(&old.status);
    }
    new
}

/// Datapaths as a [`super::World`] has them.
pub(crate) fn shared(datapaths: &BTreeMap<String, NodeDatapath>) -> BTreeMap<String, Arc<NodeDatapath>> {
    let shared = |(name, object): (&String, &NodeDatapath)| (name.clone(), Arc::new(object.clone()));
    datapaths.iter().map(shared).collect()
}

pub(crate) struct Datapath(NodeDatapath);

impl Datapath {
    pub(crate) fn generation(mut self, generation: i64) -> Self {
        self.0.metadata.generation = Some(generation);
        self
    }

    pub(crate) fn spec(mut self, spec: NodeDatapathSpec) -> Self {
        self.0.spec = spec;
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.annotations_mut().insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn memory(self, memory: &Memory) -> Self {
        let json = serde_json::to_string(memory).expect("JSON");
        self.annotation(ROLLOUT, &json)
    }

    /// The agent saw this generation of the object when it wrote its conditions.
    pub(crate) fn conditions_seen(mut self, generation: i64) -> Self {
        let status = self.0.status.get_or_insert_default();
        for condition in &mut status.conditions {
            condition.observed_generation = Some(generation);
        }
        self
    }

    pub(crate) fn unknown_fields(mut self, agent: &str, fields: &[&str]) -> Self {
        let status = self.0.status.get_or_insert_default();
        status.agent_version = Some(agent.to_owned());
        status.unknown_fields = fields.iter().map(|&field| field.to_owned()).collect();
        self
    }

    /// It uses SNAT for some endpoints, though DSR is asked for.
    pub(crate) fn without_dsr(self, message: &str) -> Self {
        self.condition(
            NodeCondition::DsrReady,
            false,
            NodeReason::NodesWithoutDsr.as_str(),
            message,
        )
    }

    pub(crate) fn draining_since(mut self, since: Timestamp) -> Self {
        self.0.spec.phase = Phase::Draining;
        self.0
            .annotations_mut()
            .insert(DRAINING_SINCE.to_owned(), since.to_string());
        self
    }

    /// It serves, with this generation of its policy.
    pub(crate) fn ready(self, policy_generation: i64) -> Self {
        let mut this = self.condition(NodeCondition::Ready, true, NodeReason::Serving.as_str(), "");
        let generation = this.0.metadata.generation;
        let status = this.0.status.get_or_insert_default();
        status.policy_generation = Some(policy_generation);
        status.observed_generation = generation;
        this
    }

    pub(crate) fn failing(self, reason: &'static str, message: &str) -> Self {
        self.condition(NodeCondition::Ready, false, reason, message)
    }

    pub(crate) fn kube_proxy_absent(self, absent: bool) -> Self {
        self.condition(
            NodeCondition::KubeProxyAbsent,
            absent,
            NodeReason::NotFound.as_str(),
            "",
        )
    }

    /// The agent has removed the datapath, seeing this generation of the object.
    pub(crate) fn removed(self, generation: i64) -> Self {
        let mut this = self.condition(NodeCondition::Removed, true, NodeReason::Removed.as_str(), "");
        this.0.status.get_or_insert_default().observed_generation = Some(generation);
        this
    }

    fn condition(mut self, type_: NodeCondition, holds: bool, reason: &'static str, message: &str) -> Self {
        let observation = Observation {
            type_: type_.as_str(),
            status: ConditionStatus::from(holds),
            reason,
            message: message.to_owned(),
        };
        let conditions = conditions::apply(&[], vec![observation], None, at(0));
        let status: &mut NodeDatapathStatus = self.0.status.get_or_insert_default();
        status.conditions.retain(|condition| condition.type_ != type_.as_str());
        status.conditions.extend(conditions);
        self
    }

    pub(crate) fn build(self) -> NodeDatapath {
        self.0
    }
}
