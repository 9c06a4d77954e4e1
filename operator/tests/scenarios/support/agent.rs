//! What a node's agent writes.

use jiff::Timestamp;
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, NodeReason, Observation};
use kpr_crds::names::AGENT_MANAGER;
use kpr_crds::{Counts, NodeDatapath, NodeDatapathStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;

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
        self.report(NodeCondition::Ready, NodeReason::Serving, |_| {}).await;
    }

    /// The same, with other counts.
    pub(crate) async fn counts(&self, services: u32) {
        let counts = Some(Counts {
            services,
            ..Counts::default()
        });
        self.report(NodeCondition::Ready, NodeReason::Serving, |status| {
            status.counts = counts;
        })
        .await;
    }

    /// It has carried out the spec, serves, and sees this of kube-proxy.
    pub(crate) async fn sees_kube_proxy(&self, reason: NodeReason) {
        let serves = [
            (NodeCondition::Ready, ConditionStatus::True, NodeReason::Serving),
            (NodeCondition::ServicesSynced, ConditionStatus::True, NodeReason::Synced),
            (
                NodeCondition::KubeProxyAbsent,
                ConditionStatus::from(reason == NodeReason::NotFound),
                reason,
            ),
        ];
        self.write(&serves, |_| {}).await;
    }

    /// It has removed the datapath.
    pub(crate) async fn removed(&self) {
        self.report(NodeCondition::Removed, NodeReason::Removed, |_| {}).await;
    }

    async fn report(&self, holds: NodeCondition, reason: NodeReason, with: impl FnOnce(&mut NodeDatapathStatus)) {
        self.write(&[(holds, ConditionStatus::True, reason)], with).await;
    }

    async fn write(
        &self,
        says: &[(NodeCondition, ConditionStatus, NodeReason)],
        with: impl FnOnce(&mut NodeDatapathStatus),
    ) {
        let datapath = self.datapaths.get(&self.node).await.expect("datapath");
        let old = datapath.status.unwrap_or_default().conditions;
        let observations = says
            .iter()
            .map(|(type_, status, reason)| Observation {
                type_: type_.as_str(),
                status: *status,
                reason: reason.as_str(),
                message: String::new(),
            })
            .collect();
        let mut status = NodeDatapathStatus {
            observed_generation: datapath.metadata.generation,
            policy_generation: Some(datapath.spec.policy_generation),
            conditions: conditions::apply(&old, observations, datapath.metadata.generation, Timestamp::now()),
            ..NodeDatapathStatus::default()
        };
        with(&mut status);
        let body = json!({
            "apiVersion": NodeDatapath::api_version(&()),
            "kind": NodeDatapath::kind(&()),
            "metadata": { "name": self.node },
            "status": status,
        });
        let params = PatchParams::apply(AGENT_MANAGER).force();
        self.datapaths
            .patch_status(&self.node, &params, &Patch::Apply(body))
            .await
            .expect("status");
    }
}
