//! Objects that users write.

use std::collections::BTreeMap;

use kpr_crds::{IntOrString, KubeProxyPolicy, KubeProxyReplacement, KubeProxyReplacementSpec, NodeSelector, OnFailure};

/// A policy for every node.
pub(crate) fn policy(name: &str) -> Policy {
    Policy(KubeProxyReplacement::new(name, KubeProxyReplacementSpec::default()))
}

pub(crate) struct Policy(KubeProxyReplacement);

impl Policy {
    /// Only for nodes with label `pool` of this value.
    pub(crate) fn pool(mut self, pool: &str) -> Self {
        let match_labels = BTreeMap::from([("pool".to_owned(), pool.to_owned())]);
        self.0.spec.node_selector = Some(NodeSelector {
            match_labels,
            ..NodeSelector::default()
        });
        self
    }

    /// How many nodes may be out at a time.
    pub(crate) fn max_unavailable(mut self, nodes: i32) -> Self {
        self.0.spec.update_strategy.max_unavailable = IntOrString::Int(nodes);
        self
    }

    /// Changed nodes go back if the change fails.
    pub(crate) fn rollback(mut self) -> Self {
        self.0.spec.update_strategy.on_failure = OnFailure::Rollback;
        self
    }

    /// Nodes must be ready within this time.
    pub(crate) fn deadline(mut self, seconds: u32) -> Self {
        self.0.spec.update_strategy.progress_deadline_seconds = seconds;
        self
    }

    /// kube-proxy is parked for it.
    pub(crate) fn parks_kube_proxy(mut self) -> Self {
        self.0.spec.kube_proxy.policy = KubeProxyPolicy::Disable;
        self
    }

    pub(crate) fn build(self) -> KubeProxyReplacement {
        self.0
    }
}
