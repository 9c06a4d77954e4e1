//! What a node's agent writes.

use jiff::Timestamp;
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, NodeReason, Observation};
use kpr_crds::names::AGENT_MANAGER;
use kpr_crds::{Counts, NodeDatapath, NodeDatapathStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

/// The agent of a node: it reports, and does nothing.
pub(crate) struct Agent {
    datapaths: Api<NodeDatapath>,
    node: String,
}

impl Agent {
    pub(crate) fn new(datapaths: Api<NodeDatapath>, node: &str) -> Self {
        Self {
            datapaths,
            node: node.to_owned(),
        }
    }

    /// It has carried out the spec, and serves.
    pub(crate) async fn ready(&self) {
        self.report(&ready(), |_| {}).await;
    }

    /// The same, with other counts.
    pub(crate) async fn counts(&self, services: u32) {
        let counts = Some(Counts {
            services,
            ..Counts::default()
        });
        self.report(&ready(), |status| status.counts = counts).await;
    }

    /// It has carried out the spec, but for fields that it does not know.
    pub(crate) async fn ready_without(&self, fields: &[&str]) {
        let unknown: Vec<_> = fields.iter().map(|&field| field.to_owned()).collect();
        self.report(&ready(), |status| status.unknown_fields = unknown).await;
    }

    /// It has carried out the spec, and says more than the operator knows of.
    pub(crate) async fn ready_and_newer(&self, condition: &str, field: &str) {
        let datapath = self.datapaths.get(&self.node).await.expect("datapath");
        let mut status = serde_json::to_value(status(&datapath, &[ready()])).expect("JSON");
        let mut newer = status["conditions"][0].clone();
        newer["type"] = json!(condition);
        status["conditions"].as_array_mut().expect("a list").push(newer);
        status[field] = json!({ "a": 1 });
        write(&self.datapaths, &datapath, &status).await;
    }

    /// It has carried out the spec, serves, and sees this of kube-proxy.
    pub(crate) async fn sees_kube_proxy(&self, reason: NodeReason) {
        let serves = [
            ready(),
            said(NodeCondition::ServicesSynced, true, NodeReason::Synced.as_str(), ""),
            said(
                NodeCondition::KubeProxyAbsent,
                reason == NodeReason::NotFound,
                reason.as_str(),
                "",
            ),
        ];
        self.write(&serves, |_| {}).await;
    }

    /// It has removed the datapath.
    pub(crate) async fn removed(&self) {
        let removed = said(NodeCondition::Removed, true, NodeReason::Removed.as_str(), "");
        self.report(&removed, |_| {}).await;
    }

    async fn report(&self, said: &Observation, with: impl FnOnce(&mut NodeDatapathStatus)) {
        self.write(std::slice::from_ref(said), with).await;
    }

    async fn write(&self, said: &[Observation], with: impl FnOnce(&mut NodeDatapathStatus)) {
        let datapath = self.datapaths.get(&self.node).await.expect("datapath");
        let mut status = status(&datapath, said);
        with(&mut status);
        let status = serde_json::to_value(status).expect("JSON");
        write(&self.datapaths, &datapath, &status).await;
    }
}

fn ready() -> Observation {
    said(NodeCondition::Ready, true, NodeReason::Serving.as_str(), "")
}

/// What an agent says in a condition.
pub(super) fn said(type_: NodeCondition, holds: bool, reason: &'static str, message: &str) -> Observation {
    Observation {
        type_: type_.as_str(),
        status: ConditionStatus::from(holds),
        reason,
        message: message.to_owned(),
    }
}

/// The status of an agent that has taken in this object.
pub(super) fn status(datapath: &NodeDatapath, said: &[Observation]) -> NodeDatapathStatus {
    let generation = datapath.metadata.generation;
    let old = datapath.status.as_ref().map_or(&[][..], |status| &status.conditions);
    NodeDatapathStatus {
        observed_generation: generation,
        policy_generation: Some(datapath.spec.policy_generation),
        conditions: conditions::apply(old, said.to_vec(), generation, Timestamp::now()),
        ..NodeDatapathStatus::default()
    }
}

/// Writes the status, as the agent does. An object that is gone is none of its business.
pub(super) async fn write(datapaths: &Api<NodeDatapath>, datapath: &NodeDatapath, status: &Value) {
    let name = datapath.name_any();
    let body = json!({
        "apiVersion": NodeDatapath::api_version(&()),
        "kind": NodeDatapath::kind(&()),
        "metadata": { "name": name },
        "status": status,
    });
    let params = PatchParams::apply(AGENT_MANAGER).force();
    match datapaths.patch_status(&name, &params, &Patch::Apply(body)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("the status of {name}: {error}"),
    }
}
