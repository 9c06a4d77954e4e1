//! Pods that a scenario names and places itself, where a Deployment would choose.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, eventually},
    control::pods::{is_ready, is_terminating},
    kubelet::DRAIN_VARIABLE,
};

/// How long a pod may take to appear, or to go.
const PATIENCE: Duration = Duration::from_secs(20);
/// A drain time and a grace period that no scenario outlives.
const FOR_EVER: Duration = Duration::from_mins(10);

/// The port, TCP and UDP, of a pod that is not told another one.
pub const POD_PORT: u16 = 80;

/// A pod to create: by default it answers on TCP and UDP port 80 and goes soon after it is told to.
#[derive(Clone, Debug)]
pub struct ServerPod {
    name: String,
    app: String,
    node: Option<String>,
    ports: Vec<Value>,
    drain: Duration,
    grace: Option<Duration>,
    host_network: bool,
    restart_policy: &'static str,
}

impl ServerPod {
    /// A pod called `name` with the label `app: {app}`.
    pub fn of(app: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            app: app.to_owned(),
            node: None,
            ports: Vec::new(),
            drain: Duration::from_millis(500),
            grace: None,
            host_network: false,
            restart_policy: "Always",
        }
    }

    /// On this node.
    #[must_use]
    pub fn on_node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// With a named port; the first one replaces the usual ports.
    #[must_use]
    pub fn port(mut self, name: &str, number: u16, protocol: &str) -> Self {
        self.ports
            .push(json!({"name": name, "containerPort": number, "protocol": protocol}));
        self
    }

    /// With a named port that is also a port of its node.
    #[must_use]
    pub fn host_port(self, name: &str, number: u16, protocol: &str, host_port: u16) -> Self {
        self.host_port_at(name, number, protocol, ("", host_port))
    }

    /// The same, at one address of the node.
    #[must_use]
    pub fn host_port_at(mut self, name: &str, number: u16, protocol: &str, (ip, host_port): (&str, u16)) -> Self {
        self.ports.push(json!({
            "name": name, "containerPort": number, "protocol": protocol, "hostPort": host_port, "hostIP": ip,
        }));
        self
    }

    /// In its node's network namespace.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// Goes on serving, terminating, when it is told to end.
    #[must_use]
    pub fn lingering(mut self) -> Self {
        self.drain = FOR_EVER;
        self.grace = Some(FOR_EVER);
        self
    }

    /// Stays ended when it ends.
    #[must_use]
    pub fn never_restarted(mut self) -> Self {
        self.restart_policy = "Never";
        self
    }

    /// Creates it and waits until it is ready.
    pub async fn create(self, cluster: &Cluster) -> Result<Pod> {
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        let pod = serde_json::from_value(self.object())?;
        let created = pods.create(&PostParams::default(), &pod).await;
        created.with_context(|| format!("create pod {}", self.name))?;
        eventually(&format!("pod {} is ready", self.name), PATIENCE, || async {
            let pod = pods.get(&self.name).await?;
            Ok(if is_ready(&pod) {
                Ok(pod)
            } else {
                Err(format!("{:?}", pod.status))
            })
        })
        .await
    }

    fn object(&self) -> Value {
        let usual = || {
            ["TCP", "UDP"].map(
                |protocol| json!({"name": protocol.to_lowercase(), "containerPort": POD_PORT, "protocol": protocol}),
            )
        };
        let ports = if self.ports.is_empty() {
            usual().to_vec()
        } else {
            self.ports.clone()
        };
        json!({
            "metadata": {"name": self.name, "labels": {"app": self.app}},
            "spec": {
                "nodeName": self.node,
                "hostNetwork": self.host_network,
                "restartPolicy": self.restart_policy,
                "terminationGracePeriodSeconds": self.grace.map(|grace| grace.as_secs()),
                "containers": [{
                    "name": "server",
                    "image": "server",
                    "env": [{"name": DRAIN_VARIABLE, "value": self.drain.as_millis().to_string()}],
                    "ports": ports,
                }],
            },
        })
    }
}

/// Creates one pod of `app` per name, at once, on the nodes given.
pub async fn server_pods(cluster: &Cluster, app: &str, places: &[(&str, &str)]) -> Result<Vec<Pod>> {
    let pods = places
        .iter()
        .map(|(name, node)| ServerPod::of(app, name).on_node(node).create(cluster));
    futures::future::try_join_all(pods).await
}

/// A pod on `node`, in the node's own network namespace, that serves nothing: a place for clients.
pub async fn host_network_client(cluster: &Cluster, node: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let name = format!("host-client-{node}");
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "client"}},
        "spec": {"nodeName": node, "hostNetwork": true, "containers": [{"name": "client", "image": "client"}]},
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    eventually(&format!("pod {name} runs"), PATIENCE, || async {
        let pod = pods.get(&name).await?;
        Ok(if is_ready(&pod) {
            Ok(pod)
        } else {
            Err(format!("{:?}", pod.status))
        })
    })
    .await
}

/// Deletes a pod and waits until it is gone.
pub async fn delete_pod(cluster: &Cluster, pod: &str) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    pods.delete(pod, &DeleteParams::default()).await?;
    eventually(&format!("pod {pod} is gone"), PATIENCE, || async {
        Ok(match pods.get_opt(pod).await? {
            None => Ok(()),
            Some(pod) => Err(format!("{:?}", pod.status)),
        })
    })
    .await
}

/// Ends a pod at once, lingering or not, as `kubectl delete --force` does.
pub async fn kill_pod(cluster: &Cluster, pod: &str) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let deleted = pods.delete(pod, &DeleteParams::default().grace_period(0)).await;
    deleted.map(|_| ()).with_context(|| format!("kill pod {pod}"))
}

/// Tells a lingering pod to end, and waits until that shows in its object.
pub async fn terminate_pod(cluster: &Cluster, pod: &Pod) -> Result<()> {
    let (pods, name): (Api<Pod>, _) = (Api::default_namespaced(cluster.client()), pod.name_any());
    pods.delete(&name, &DeleteParams::default()).await?;
    eventually(&format!("pod {name} is terminating"), PATIENCE, || async {
        let pod = pods.get(&name).await?;
        Ok(if is_terminating(&pod) {
            Ok(())
        } else {
            Err("no deletionTimestamp".to_owned())
        })
    })
    .await
}
