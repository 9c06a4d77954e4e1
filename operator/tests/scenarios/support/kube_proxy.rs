//! kube-proxy, as the cluster has it: a DaemonSet, whose pods a scenario makes and takes away as its controller would.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Cluster;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-proxy";

impl Cluster {
    /// As kubeadm makes it, with a ready pod on each of these nodes.
    pub(crate) async fn create_kube_proxy(&self, nodes: &[&str]) {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": NAME, "labels": { "k8s-app": NAME } },
            "spec": {
                "selector": { "matchLabels": { "k8s-app": NAME } },
                "template": {
                    "metadata": { "labels": { "k8s-app": NAME } },
                    "spec": {
                        "nodeSelector": { "kubernetes.io/os": "linux" },
                        "hostNetwork": true,
                        "containers": [{ "name": NAME, "image": "kube-proxy" }],
                    },
                },
            },
        });
        let set = serde_json::from_value(set).expect("DaemonSet");
        self.kube_proxies()
            .create(&PostParams::default(), &set)
            .await
            .expect("DaemonSet");
        for node in nodes {
            self.label_node(node, "kubernetes.io/os", "linux").await;
            self.start_kube_proxy_pod(node).await;
        }
    }

    /// Its pod on a node runs.
    pub(crate) async fn start_kube_proxy_pod(&self, node: &str) {
        // The API server collects what has no owner.
        let uid = self.kube_proxy().await.metadata.uid;
        let owner =
            json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": NAME, "uid": uid, "controller": true }]);
        self.create_pod(node, json!({ "labels": { "k8s-app": NAME }, "ownerReferences": owner }))
            .await;
    }

    /// The kubelet of a node runs it from a file.
    pub(crate) async fn start_static_kube_proxy_pod(&self, node: &str) {
        let annotations = json!({ "kubernetes.io/config.mirror": "1" });
        self.create_pod(
            node,
            json!({ "labels": { "component": NAME }, "annotations": annotations }),
        )
        .await;
    }

    async fn create_pod(&self, node: &str, mut metadata: Value) {
        metadata["name"] = json!(pod_name(node));
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": { "nodeName": node, "containers": [{ "name": NAME, "image": "kube-proxy" }] },
        });
        let pods = self.pods();
        pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("Pod"))
            .await
            .expect("Pod");
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        pods.patch_status(&pod_name(node), &PatchParams::default(), &Patch::Merge(ready))
            .await
            .expect("status");
    }

    /// Its pod on a node is gone.
    pub(crate) async fn end_kube_proxy_pod(&self, node: &str) {
        let at_once = DeleteParams::default().grace_period(0);
        self.pods().delete(&pod_name(node), &at_once).await.expect("delete");
    }

    /// Its DaemonSet.
    pub(crate) async fn kube_proxy(&self) -> DaemonSet {
        self.kube_proxies().get(NAME).await.expect("DaemonSet")
    }

    /// Does its DaemonSet ask for a node that there is not?
    pub(crate) async fn is_parked(&self) -> bool {
        let pod = self.kube_proxy().await.spec.template.spec.expect("pod");
        pod.node_selector
            .is_some_and(|labels| labels.contains_key("kpr.dev/kube-proxy-parked"))
    }

    fn kube_proxies(&self) -> Api<DaemonSet> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

fn pod_name(node: &str) -> String {
    format!("{NAME}-{node}")
}
