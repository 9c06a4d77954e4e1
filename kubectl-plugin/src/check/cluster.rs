//! The namespace of a check: made, waited for, removed.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::{
    condition::{Condition, is_ready},
    nodes::Node,
    objects::{self, LABEL, PodName},
};
use crate::{
    args::Args,
    kubectl::{self, List},
    output,
};

/// How long the namespace may take to go.
const REMOVAL: &str = "--timeout=120s";

const RIGHTS: &str =
    "a check creates and deletes a namespace, a service account, pods and Services, reads nodes, and calls pods/exec";

/// The namespace, whether it is there or not.
pub(super) struct Cluster<'a> {
    args: &'a Args,
    namespace: String,
    nodes: Vec<Node>,
}

/// What is asked, and from where.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) nodes: Vec<Node>,
    pub(super) servers: Vec<Placed>,
    pub(super) clients: Vec<Placed>,
    /// On nodes' own network; an error says why they are not there.
    pub(super) node_clients: Result<Vec<Placed>, String>,
    pub(super) services: Vec<Service>,
}

/// A pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) name: String,
    /// The place of its node in the list.
    pub(super) node: usize,
    pub(super) addresses: Vec<IpAddr>,
}

/// A Service, as it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) cluster_ips: Vec<IpAddr>,
    /// By the names of the ports, `tcp` and `udp`.
    pub(super) node_ports: Vec<(String, u16)>,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(args: &'a Args, namespace: String, nodes: Vec<Node>) -> Self {
        Self { args, namespace, nodes }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Makes everything and waits until the pods run.
    pub(super) async fn deploy(&self, host_network: bool, pods_start: Duration) -> Result<Served> {
        let names: Vec<_> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        eprintln!(
            "Making the namespace {} with pods on {} ...",
            self.namespace,
            names.join(", ")
        );
        let all = objects::all(&self.namespace, &self.nodes, host_network);
        self.create(&all).await.context(RIGHTS)?;
        let node_clients = if host_network {
            let clients = objects::on_host_network(&self.namespace, &self.nodes);
            // An admission policy may be against it.
            self.create(&clients).await.map_err(|error| format!("{error:#}"))
        } else {
            Err("--no-host-network".to_owned())
        };
        self.wait(pods_start).await?;
        self.read(node_clients).await
    }

    async fn create(&self, objects: &Value) -> Result<()> {
        let arguments = ["create", "--filename", "-"];
        let created = kubectl::output_with(self.args, &arguments, objects.to_string().as_bytes()).await;
        created.map(drop)
    }

    async fn wait(&self, pods_start: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", pods_start.as_secs());
        let arguments = [
            "wait",
            "pod",
            "--all",
            "--namespace",
            &self.namespace,
            "--for=condition=Ready",
            &timeout,
        ];
        if let Err(error) = kubectl::output(self.args, &arguments).await {
            let waiting = self.list().await.map(|list| list.not_ready()).unwrap_or_default();
            if waiting.is_empty() {
                return Err(error);
            }
            bail!("pods of the check do not run (--timeout): {}", waiting.join("; "));
        }
        Ok(())
    }

    async fn list(&self) -> Result<List<Item>> {
        let arguments = [
            "get",
            "pods,services",
            "--namespace",
            &self.namespace,
            "--output",
            "json",
        ];
        let list = kubectl::output(self.args, &arguments).await?;
        List::read(&list, "pods and Services")
    }

    async fn read(&self, node_clients: Result<(), String>) -> Result<Served> {
        let list = self.list().await?;
        let placed = |names: Vec<PodName>| {
            let placed = names.into_iter().map(|PodName { name, node }| {
                let addresses = list.pod_addresses(&name)?;
                Ok(Placed { name, node, addresses })
            });
            placed.collect::<Result<Vec<_>>>()
        };
        Ok(Served {
            nodes: self.nodes.clone(),
            servers: placed(objects::servers(&self.nodes))?,
            clients: placed(objects::clients(&self.nodes))?,
            node_clients: match node_clients {
                Ok(()) => Ok(placed(objects::node_clients(&self.nodes))?),
                Err(reason) => Err(reason),
            },
            services: list.services()?,
        })
    }

    /// Removes everything, whether it is there or not.
    pub(super) async fn remove(&self) -> Result<()> {
        eprintln!("Removing the namespace {} ...", self.namespace);
        let arguments = ["delete", "namespace", &self.namespace, "--ignore-not-found", REMOVAL];
        let removed = kubectl::output(self.args, &arguments).await;
        removed
            .map(drop)
            .with_context(|| format!("the namespace {} is left (kubectl kpr check --clean)", self.namespace))
    }
}

/// Removes the namespaces of all checks.
pub(super) async fn clean(args: &Args) -> Result<()> {
    let arguments = ["delete", "namespaces", "--selector", LABEL, REMOVAL];
    let said = kubectl::output(args, &arguments).await?;
    output::print(&String::from_utf8_lossy(&said))
}

#[derive(Deserialize)]
struct Item {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "clusterIPs")]
    cluster_ips: Vec<IpAddr>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: String,
    node_port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    #[serde(default, rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: IpAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    #[serde(default)]
    state: State,
    #[serde(default)]
    last_state: State,
}

#[derive(Default, Deserialize)]
struct State {
    waiting: Option<Reason>,
    terminated: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    reason: Option<String>,
    message: Option<String>,
}

impl List<Item> {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    fn pod_addresses(&self, name: &str) -> Result<Vec<IpAddr>> {
        let pod = self.of_kind("Pod").find(|pod| pod.metadata.name == name);
        let pod = pod.with_context(|| format!("the pod {name} has gone"))?;
        Ok(pod.status.pod_ips.iter().map(|address| address.ip).collect())
    }

    fn services(&self) -> Result<Vec<Service>> {
        let services = self.of_kind("Service").map(|item| {
            ensure!(
                !item.spec.cluster_ips.is_empty(),
                "the Service {} was given no cluster IP",
                item.metadata.name
            );
            let ports = item.spec.ports.iter();
            Ok(Service {
                name: item.metadata.name.clone(),
                cluster_ips: item.spec.cluster_ips.clone(),
                node_ports: ports
                    .filter_map(|port| Some((port.name.clone(), port.node_port?)))
                    .collect(),
            })
        });
        services.collect()
    }

    /// Pods that are not ready, and why.
    fn not_ready(&self) -> Vec<String> {
        let pods = self.of_kind("Pod").filter(|pod| !is_ready(&pod.status.conditions));
        pods.map(|pod| format!("{} {}", pod.metadata.name, pod.status.why()))
            .collect()
    }
}

impl Status {
    fn why(&self) -> String {
        let states = self
            .container_statuses
            .iter()
            .flat_map(|status| [&status.state, &status.last_state]);
        let mut reasons = Vec::new();
        for state in states {
            for reason in [&state.waiting, &state.terminated].into_iter().flatten() {
                let texts = [&reason.reason, &reason.message].into_iter().flatten();
                reasons.push(texts.map(|text| text.trim()).collect::<Vec<_>>().join(": "));
            }
        }
        let phase = self.phase.as_deref().unwrap_or("Unknown");
        if reasons.is_empty() {
            format!("is {phase}")
        } else {
            format!("is {phase} ({})", reasons.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let list: List<Item> = serde_json::from_value(json!({"items": [
            {"kind": "Pod", "metadata": {"name": "server-0"}, "spec": {"nodeName": "node-a"}, "status": {
                "phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 2}},
                }],
            }},
            {"kind": "Pod", "metadata": {"name": "client-0"}, "status": {
                "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            }},
            {"kind": "Pod", "metadata": {"name": "client-1"}, "status": {"phase": "Pending"}},
            {"kind": "Service", "metadata": {"name": "cluster-ip"}, "spec": {"clusterIPs": ["10.96.0.9"]}},
        ]}))
        .unwrap();
        assert_eq!(
            list.not_ready(),
            [
                "server-0 is Running (CrashLoopBackOff: back-off 10s; Error)",
                "client-1 is Pending"
            ]
        );
    }
}
