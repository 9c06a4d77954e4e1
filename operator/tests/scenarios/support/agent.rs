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

    /// It has removed the datapath.
    pub(crate) async fn removed(&self) {
        self.report(NodeCondition::Removed, NodeReason::Removed, |_| {}).await;
    }

    async fn report(&self, holds: NodeCondition, reason: NodeReason, with: impl FnOnce(&mut NodeDatapathStatus)) {
        let datapath = self.datapaths.get(&self.node).await.expect("datapath");
        let old = datapath.status.unwrap_or_default().conditions;
        let observation = Observation {
            type_: holds.as_str(),
            status: ConditionStatus::True,
            reason: reason.as_str(),
            message: String::new(),
        };
        let mut status = NodeDatapathStatus {
            observed_generation: datapath.metadata.generation,
            policy_generation: Some(datapath.spec.policy_generation),
            conditions: conditions::apply(&old, vec![observation], datapath.metadata.generation, Timestamp::now()),
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
