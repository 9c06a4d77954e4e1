//! Kubernetes' own tests of Services (`test/e2e/network/service.go`), by theme. Each function says in its `Upstream:` line which
//! test it is. Where those ask by a Service's name, these ask by its addresses: names are the cluster DNS' business.

pub mod affinity;
pub mod api;
pub mod disruption;
pub mod endpoints;
pub mod lifecycle;
pub mod node_ports;
pub mod opt_out;
pub mod ports;
pub mod reach;
pub mod terminating;
pub mod traffic_policy;
pub mod types;
pub mod unready;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use serde_json::{Value, json};

use super::{
    POD_PORT, Probe, ServerPod, Vantage, server_pods,
    service::{cluster_ip, create_labelled_service, delete_service},
};
use crate::cluster::Cluster;

/// The usual ports of a Service: one, called `http`, with the usual number of a pod's on both sides.
fn http() -> Value {
    json!([{"name": "http", "port": POD_PORT}])
}

/// A Service with three pods on both nodes, named after it (upstream: `StartServeHostnameService`).
#[derive(Clone, Debug)]
struct ThreePods {
    name: String,
    service: Service,
    pods: Vec<String>,
}

impl ThreePods {
    async fn start(cluster: &Cluster, name: &str) -> Result<Self> {
        Self::start_with(cluster, name, json!({}), json!({})).await
    }

    /// Creates the pods, waits for them, then creates the Service, labelled, with `spec` beside its port.
    async fn start_with(cluster: &Cluster, name: &str, labels: Value, mut spec: Value) -> Result<Self> {
        let pods: Vec<String> = (0..3).map(|number| format!("{name}-{number}")).collect();
        let nodes = ["node-a", "node-b", "node-a"];
        let places: Vec<(&str, &str)> = pods.iter().map(String::as_str).zip(nodes).collect();
        server_pods(cluster, name, &places).await?;
        spec["selector"] = json!({"app": name});
        spec["ports"] = http();
        Ok(Self {
            name: name.to_owned(),
            service: create_labelled_service(cluster, name, labels, spec).await?,
            pods,
        })
    }

    fn cluster_ip(&self) -> Result<SocketAddr> {
        cluster_ip(&self.service, POD_PORT)
    }

    /// Waits until all three, and nobody else, answer at the ClusterIP.
    async fn is_up(&self, cluster: &Cluster, from: &Vantage) -> Result<()> {
        let probe = Probe::tcp(cluster, from, self.cluster_ip()?);
        probe.answered_by(&self.pods).await.map(|_tally| ())
    }

    /// Waits until nobody answers at the ClusterIP.
    async fn is_down(&self, cluster: &Cluster, from: &Vantage) -> Result<()> {
        Probe::tcp(cluster, from, self.cluster_ip()?).unanswered().await
    }

    async fn delete(&self, cluster: &Cluster) -> Result<()> {
        delete_service(cluster, &self.name).await
    }
}

/// Waits until these pods, and nobody else, answer at each port of the Service: at its ClusterIP and, where it has NodePorts, at
/// every node's address (upstream: `CheckServiceReachability`).
async fn is_reachable<P: AsRef<str>>(cluster: &Cluster, service: &Service, from: &Vantage, pods: &[P]) -> Result<()> {
    for port in ports(service) {
        for target in targets(cluster, service, port)? {
            probe(cluster, from, target, port).answered_by(pods).await?;
        }
    }
    Ok(())
}

/// Where a port of the Service is reached.
fn targets(cluster: &Cluster, service: &Service, port: &ServicePort) -> Result<Vec<SocketAddr>> {
    let mut targets = vec![cluster_ip(service, u16::try_from(port.port)?)?];
    if let Some(number) = port.node_port {
        for node in cluster.node_names() {
            targets.push(SocketAddr::new(cluster.node_address(&node)?, u16::try_from(number)?));
        }
    }
    Ok(targets)
}

fn probe<'p>(cluster: &'p Cluster, from: &'p Vantage, target: SocketAddr, port: &ServicePort) -> Probe<'p> {
    if port.protocol.as_deref() == Some("UDP") {
        Probe::udp(cluster, from, target)
    } else {
        Probe::tcp(cluster, from, target)
    }
}

fn ports(service: &Service) -> &[ServicePort] {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref());
    ports.unwrap_or_default()
}

/// The NodePort of a Service with one port.
fn only_node_port(service: &Service) -> Result<u16> {
    let number = ports(service).first().and_then(|port| port.node_port);
    Ok(u16::try_from(number.context("the Service has no NodePort")?)?)
}

/// Creates one pod of `app`, called like it, on node-a.
async fn one_pod(cluster: &Cluster, app: &str) -> Result<()> {
    let pod = ServerPod::of(app, app).on_node("node-a");
    pod.create(cluster).await.map(|_pod| ())
}
