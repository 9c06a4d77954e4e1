//! What the operator needs to know of kube-proxy's DaemonSets and pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Affinity, Pod};
use kube::ResourceExt;

use crate::node::Labels;

/// Node label that no node has: a DaemonSet that asks for it runs nowhere.
pub const PARKED_LABEL: &str = "kpr.dev/kube-proxy-parked";
/// Annotation of a parked DaemonSet: names of the policies that keep it so.
pub const PARKED_BY: &str = "kpr.dev/kube-proxy-parked-by";
/// Annotation of a DaemonSet that is parked on some nodes: its `affinity` as it was, as JSON.
pub const ORIGINAL_AFFINITY: &str = "kpr.dev/kube-proxy-affinity";

/// Labels of kube-proxy's pods, one is enough: kubeadm and most others; static pods, RKE2, AKS.
pub const LABELS: [(&str, &str); 2] = [("k8s-app", "kube-proxy"), ("component", "kube-proxy")];

/// Who would undo a change of an object: label or annotation, its value if it matters, and what that is.
const MANAGERS: [(&str, Option<&str>, &str); 3] = [
    (
        "addonmanager.kubernetes.io/mode",
        Some("Reconcile"),
        "the addon manager",
    ),
    ("argocd.argoproj.io/tracking-id", None, "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", None, "Flux"),
];

/// A DaemonSet of kube-proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonSetView {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: Option<String>,
    /// `metadata.generation`: counts changes of its spec.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`: a patch is for this very state.
    pub version: Option<String>,
    /// Labels that nodes must have, that of a parked one included.
    pub node_selector: BTreeMap<String, String>,
    /// Its pods' affinity.
    pub affinity: Option<Affinity>,
    /// Policies that keep it parked, as it says itself.
    pub parked_by: BTreeSet<String>,
    /// What it says its affinity was before.
    pub original_affinity: Option<String>,
    /// Who would undo a change.
    pub managed_by: Option<&'static str>,
}

impl DaemonSetView {
    /// The DaemonSet, if it is one of kube-proxy.
    pub fn of(set: &DaemonSet) -> Option<Self> {
        let pods = &set.spec.template;
        let template = pods.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        let is_labelled = |labels: Option<&BTreeMap<String, String>>| {
            labels.is_some_and(|labels| {
                LABELS
                    .iter()
                    .any(|(key, value)| labels.get(*key).is_some_and(|is| is == value))
            })
        };
        if !is_labelled(template) {
            return None;
        }
        let pod = pods.spec.clone().unwrap_or_default();
        let annotation = |key: &str| set.annotations().get(key).cloned();
        let managed_by = MANAGERS.iter().find(|(key, value, _)| {
            let found = set.labels().get(*key).or_else(|| set.annotations().get(*key));
            found.is_some_and(|found| value.is_none_or(|value| found == value))
        });
        Some(Self {
            name: set.name_any(),
            namespace: set.namespace().unwrap_or_default(),
            uid: set.uid(),
            generation: set.metadata.generation,
            version: set.resource_version(),
            node_selector: pod.node_selector.unwrap_or_default(),
            affinity: pod.affinity,
            parked_by: annotation(PARKED_BY)
                .iter()
                .flat_map(|names| names.split(','))
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            original_affinity: annotation(ORIGINAL_AFFINITY),
            managed_by: managed_by.map(|(.., manager)| *manager),
        })
    }

    /// `NAMESPACE/NAME`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Would it run on a node with these labels, if it were not parked?
    pub fn selects(&self, labels: &Labels) -> bool {
        let own = self.node_selector.iter().filter(|(key, _)| *key != PARKED_LABEL);
        own.into_iter()
            .all(|(key, value)| labels.get(key) == Some(value.as_str()))
    }
}

/// A pod of kube-proxy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PodView {
    /// The node that it is on.
    pub node: Option<String>,
    /// It is ready, and not about to go.
    pub ready: bool,
    /// It is a static pod: the node has it from a file, and nothing that is written to the API stops it.
    pub is_static: bool,
}

impl From<Pod> for PodView {
    fn from(pod: Pod) -> Self {
        let going = pod.metadata.deletion_timestamp.is_some();
        let is_static = pod.annotations().contains_key("kubernetes.io/config.mirror")
            || pod.owner_references().iter().any(|owner| owner.kind == "Node");
        let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Self {
            node: pod.spec.and_then(|spec| spec.node_name),
            ready: ready && !going,
            is_static,
        }
    }
}

/// What there is of kube-proxy in the cluster.
#[derive(Clone, Debug, Default)]
pub struct State<'a> {
    /// Its DaemonSets.
    pub daemon_sets: Vec<&'a DaemonSetView>,
    /// Its pods, by node.
    pub pods: BTreeMap<&'a str, Vec<&'a PodView>>,
}

impl<'a> State<'a> {
    /// From everything that is known.
    pub fn new(
        daemon_sets: impl IntoIterator<Item = &'a DaemonSetView>,
        pods: impl IntoIterator<Item = &'a PodView>,
    ) -> Self {
        let mut state = Self {
            daemon_sets: daemon_sets.into_iter().collect(),
            pods: BTreeMap::new(),
        };
        for pod in pods {
            if let Some(node) = &pod.node {
                state.pods.entry(node).or_default().push(pod);
            }
        }
        state
    }

    /// Its pods on this node, those that are about to go included.
    pub fn on(&self, node: &str) -> &[&'a PodView] {
        self.pods.get(node).map_or(&[], Vec::as_slice)
    }

    /// Is a static pod of it on this node?
    pub fn is_static_on(&self, node: &str) -> bool {
        self.on(node).iter().any(|pod| pod.is_static)
    }

    /// Is a pod of a DaemonSet of it on this node, going or not?
    pub fn is_parkable_on(&self, node: &str) -> bool {
        self.on(node).iter().any(|pod| !pod.is_static)
    }

    /// Names of the DaemonSets.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.daemon_sets.iter().map(|set| set.full_name()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(labels: &serde_json::Value) -> Option<DaemonSetView> {
        let set = json!({
            "metadata": { "name": "proxy", "namespace": "kube-system", "annotations": { PARKED_BY: "default,edge" } },
            "spec": { "selector": {}, "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [], "nodeSelector": { "kubernetes.io/os": "linux" } },
            } },
        });
        DaemonSetView::of(&serde_json::from_value(set).expect("DaemonSet"))
    }

    #[test]
    fn a_daemon_set_of_kube_proxy_is_known_by_the_labels_of_its_pods() {
        assert!(set(&json!({ "k8s-app": "kube-proxy" })).is_some());
        assert!(set(&json!({ "component": "kube-proxy", "tier": "node" })).is_some());
        assert!(set(&json!({ "k8s-app": "kube-proxy-windows" })).is_none());
        assert!(set(&json!({ "k8s-app": "coredns" })).is_none());
        let view = set(&json!({ "k8s-app": "kube-proxy" })).expect("view");
        assert_eq!(view.parked_by, ["default".to_owned(), "edge".to_owned()].into());
        let linux = Labels::from(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]));
        assert!(view.selects(&linux) && !view.selects(&Labels::default()));
    }

    #[test]
    fn static_pods_are_told_from_those_of_a_daemon_set() {
        let pod = |metadata: serde_json::Value| -> PodView {
            let pod = json!({
                "metadata": metadata, "spec": { "nodeName": "a", "containers": [] },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            });
            serde_json::from_value::<Pod>(pod).expect("Pod").into()
        };
        let owned = |kind: &str| json!([{ "apiVersion": "v1", "kind": kind, "name": "x", "uid": "1" }]);
        assert!(pod(json!({ "ownerReferences": owned("Node") })).is_static);
        assert!(pod(json!({ "annotations": { "kubernetes.io/config.mirror": "abc" } })).is_static);
        let of_set = pod(json!({ "ownerReferences": owned("DaemonSet") }));
        assert!(!of_set.is_static && of_set.ready);
        assert!(
            !pod(json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" })).ready,
            "it is about to go"
        );
    }
}
