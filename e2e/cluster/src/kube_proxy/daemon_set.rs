//! kube-proxy as a cluster has it: a DaemonSet, and a pod of it on every node that it selects.
//!
//! What the DaemonSet's controller and the kubelets do for it is done here: where it selects a node, its pod is made, programs
//! rules, and is ready once they are there; where it does not, the pod goes, and leaves them.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{KubeProxyMode, running::OnNode};
use crate::testbed::Testbed;

const NAMESPACE: &str = "kube-system";
/// Name of the DaemonSet, and value of its label `k8s-app`.
pub const NAME: &str = "kube-proxy";

/// A kube-proxy that its DaemonSet governs. Dropping it ends its pods, and leaves their rules.
pub struct Deployed {
    client: Client,
    controller: JoinHandle<()>,
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Deployed {
    /// Creates the DaemonSet. `client` makes a client for the kube-proxy of a node.
    pub async fn create(
        testbed: Arc<Testbed>,
        client: Client,
        mode: KubeProxyMode,
        client_of: impl Fn(&str) -> Result<Client>,
    ) -> Result<Self> {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": NAME, "labels": {"k8s-app": NAME}},
            "spec": {
                "selector": {"matchLabels": {"k8s-app": NAME}},
                "template": {
                    "metadata": {"labels": {"k8s-app": NAME}},
                    "spec": {"hostNetwork": true, "containers": [{"name": NAME, "image": "kube-proxy"}]},
                },
            },
        });
        let sets: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
        sets.create(&PostParams::default(), &serde_json::from_value(set)?)
            .await
            .context("create the DaemonSet of kube-proxy")?;
        let clients = testbed
            .hosts()
            .iter()
            .map(|host| Ok((host.spec.name.clone(), client_of(&host.spec.name)?)))
            .collect::<Result<_>>()?;
        let controller = Controller {
            testbed,
            client: client.clone(),
            mode,
            clients,
            running: BTreeMap::new(),
        };
        Ok(Self {
            client,
            controller: tokio::spawn(controller.run()),
        })
    }

    /// Its DaemonSet.
    pub async fn object(&self) -> Result<DaemonSet> {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        sets.get(NAME).await.context("read the DaemonSet of kube-proxy")
    }

    /// The nodes on which a pod of it is ready.
    pub async fn ready_on(&self) -> Result<Vec<String>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let labelled = kube::api::ListParams::default().labels(&format!("k8s-app={NAME}"));
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let pods = pods.list(&labelled).await?.items;
        let mut nodes: Vec<String> = pods
            .into_iter()
            .filter(is_ready)
            .filter_map(|pod| pod.spec?.node_name)
            .collect();
        nodes.sort();
        Ok(nodes)
    }
}

struct Controller {
    testbed: Arc<Testbed>,
    client: Client,
    mode: KubeProxyMode,
    clients: BTreeMap<String, Client>,
    running: BTreeMap<String, OnNode>,
}

impl Controller {
    async fn run(mut self) {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let named = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let mut states = pin!(watcher(sets, named).default_backoff().applied_objects());
        while let Some(state) = states.next().await {
            let outcome = match &state {
                Ok(set) => self.follow(set).await,
                Err(error) => {
                    tracing::warn!("the watch of kube-proxy's DaemonSet: {error}");
                    continue;
                }
            };
            if let Err(error) = outcome {
                tracing::error!("kube-proxy's DaemonSet: {error:#}");
            }
        }
    }

    async fn follow(&mut self, set: &DaemonSet) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let testbed = Arc::clone(&self.testbed);
        for host in testbed.hosts() {
            let name = &host.spec.name;
            let node = nodes.get(name).await?;
            match (selects(set, &node)?, self.running.contains_key(name)) {
                (true, false) => {
                    self.create_pod(set, name).await?;
                    let client = self.clients.get(name).context("a node without a client")?.clone();
                    let mut proxy = OnNode::start(&testbed, host, self.mode, client, Arc::default());
                    proxy.synced().await?;
                    self.running.insert(name.clone(), proxy);
                    self.report_ready(name).await?;
                }
                (false, true) => {
                    if let Some(proxy) = self.running.remove(name) {
                        proxy.stop().await;
                    }
                    let at_once = DeleteParams::default().grace_period(0);
                    self.pods().delete(&pod_name(name), &at_once).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn create_pod(&self, set: &DaemonSet, node: &str) -> Result<()> {
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "name": set.name_any(), "uid": set.uid(), "controller": true,
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod_name(node), "labels": {"k8s-app": NAME}, "ownerReferences": [owner]},
            "spec": {"nodeName": node, "hostNetwork": true, "containers": [{"name": NAME, "image": "kube-proxy"}]},
        });
        let pod = serde_json::from_value(pod)?;
        let created = self.pods().create(&PostParams::default(), &pod).await;
        created.map(|_| ()).context("create kube-proxy's pod")
    }

    async fn report_ready(&self, node: &str) -> Result<()> {
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let params = PatchParams::default();
        let patched = self
            .pods()
            .patch_status(&pod_name(node), &params, &Patch::Merge(ready))
            .await;
        patched.map(|_| ()).context("report kube-proxy's pod ready")
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

/// Whether its pods may be on the node, as far as its node selector says. The stand-in knows no affinity.
fn selects(set: &DaemonSet, node: &Node) -> Result<bool> {
    let pod = set.spec.template.spec.as_ref().context("a DaemonSet without a pod")?;
    ensure!(pod.affinity.is_none(), "the stand-in for kube-proxy knows no affinity");
    let labels = node.labels();
    let mut wanted = pod.node_selector.iter().flatten();
    Ok(wanted.all(|(key, value)| labels.get(key) == Some(value)))
}

fn pod_name(node: &str) -> String {
    format!("{NAME}-{node}")
}
