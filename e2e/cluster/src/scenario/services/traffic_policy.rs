//! `internalTrafficPolicy: Local`: clients get the pods of their own node, and nobody where there is none. kube-proxy drops
//! there; here the socket call fails at once, and not as a refusal.

use anyhow::Result;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::one_pod;
use crate::{
    cluster::Cluster,
    scenario::{
        Probe, ServerPod, Vantage, client_pod, host_network_client,
        service::{cluster_ip, create_service},
    },
};

/// The Service, and its pod on node-a.
const NAME: &str = "svc-itp";

/// A pod of the server's node reaches it, a pod of another one does not.
///
/// Upstream: "should respect internalTrafficPolicy=Local Pod to Pod"
pub async fn should_respect_internal_traffic_policy_local_pod_to_pod(cluster: &mut Cluster) -> Result<()> {
    let service = internal_local(cluster, json!([{"port": 80}])).await?;
    one_pod(cluster, NAME).await?;
    only_its_own_node(cluster, &service, &pods(cluster).await?).await
}

/// The same of programs in the network of a node.
///
/// Upstream: "should respect internalTrafficPolicy=Local Pod (hostNetwork: true) to Pod"
pub async fn should_respect_internal_traffic_policy_local_pod_host_network_true_to_pod(
    cluster: &mut Cluster,
) -> Result<()> {
    let service = internal_local(cluster, json!([{"port": 80}])).await?;
    one_pod(cluster, NAME).await?;
    only_its_own_node(cluster, &service, &host_network_pods(cluster).await?).await
}

/// The same of both, where the server itself is in the network of its node.
///
/// Upstream: "should respect internalTrafficPolicy=Local Pod and Node, to Pod (hostNetwork: true)"
pub async fn should_respect_internal_traffic_policy_local_pod_and_node_to_pod_host_network_true(
    cluster: &mut Cluster,
) -> Result<()> {
    let service = internal_local(cluster, json!([{"port": 80, "targetPort": 10180}])).await?;
    let server = ServerPod::of(NAME, NAME).on_node("node-a").host_network();
    server.port("http", 10_180, "TCP").create(cluster).await?;
    only_its_own_node(cluster, &service, &pods(cluster).await?).await?;
    only_its_own_node(cluster, &service, &host_network_pods(cluster).await?).await
}

async fn internal_local(cluster: &Cluster, ports: Value) -> Result<Service> {
    create_service(cluster, NAME, json!({"internalTrafficPolicy": "Local", "ports": ports})).await
}

/// Clients of node-a and node-b.
type Clients = [Vantage; 2];

async fn pods(cluster: &Cluster) -> Result<Clients> {
    let (here, there) = (
        client_pod(cluster, "node-a").await?,
        client_pod(cluster, "node-b").await?,
    );
    Ok([Vantage::pod(&here), Vantage::pod(&there)])
}

async fn host_network_pods(cluster: &Cluster) -> Result<Clients> {
    let here = host_network_client(cluster, "node-a").await?;
    let there = host_network_client(cluster, "node-b").await?;
    Ok([Vantage::pod(&here), Vantage::pod(&there)])
}

async fn only_its_own_node(cluster: &Cluster, service: &Service, [here, there]: &Clients) -> Result<()> {
    let target = cluster_ip(service, 80)?;
    Probe::tcp(cluster, here, target).answered_by(&[NAME]).await?;
    Probe::tcp(cluster, there, target).not_from_here().await
}
