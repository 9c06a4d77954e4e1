//! Objects that users write.

use std::collections::BTreeMap;

use kpr_crds::{KubeProxyPolicy, KubeProxyReplacement, KubeProxyReplacementSpec, NodeSelector};

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

    /// kube-proxy is parked for it.
    pub(crate) fn parks_kube_proxy(mut self) -> Self {
        self.0.spec.kube_proxy.policy = KubeProxyPolicy::Disable;
        self
    }

    pub(crate) fn build(self) -> KubeProxyReplacement {
        self.0
    }
}
