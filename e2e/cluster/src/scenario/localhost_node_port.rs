//! NodePorts at a node's loopback address. The titles are those of `test/e2e/network/localhost_nodeports.go` (KEP-6032).

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use serde_json::json;

use super::{
    Vantage, host_network_client,
    probe::Probe,
    server_pods,
    service::{create_service, node_port, patch_service},
};
use crate::cluster::Cluster;

/// A program in the node's network reaches pods on its own node and on others.
///
/// Upstream: "should proxy localhost NodePort traffic to backends across nodes"
pub async fn loopback_leads_to_pods_on_every_node(cluster: &mut Cluster) -> Result<()> {
    let (from, target) = service(cluster, &[("local", "node-a"), ("remote", "node-b")]).await?;
    let probe = Probe::tcp(cluster, &from, target);
    probe.answered_by(&["local", "remote"]).await.map(|_tally| ())
}

/// All that comes from the node's loopback address is one client.
///
/// Upstream: "should honor sessionAffinity=ClientIP for localhost NodePort"
pub async fn loopback_has_session_affinity(cluster: &mut Cluster) -> Result<()> {
    let pods = [("sticky-0", "node-a"), ("sticky-1", "node-a"), ("sticky-2", "node-a")];
    let (from, target) = service(cluster, &pods).await?;
    let probe = Probe::tcp(cluster, &from, target);
    probe.answered_by(&pods.map(|(pod, _node)| pod)).await?;
    let affinity = json!({
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10_800}},
    });
    patch_service(cluster, NAME, affinity).await?;
    probe.sticks_eventually().await.map(|_pod| ())
}

const NAME: &str = "localhost";

/// A Service with these pods, a place in node-a's own network, and the NodePort at its loopback address.
async fn service(cluster: &Cluster, pods: &[(&str, &str)]) -> Result<(Vantage, SocketAddr)> {
    server_pods(cluster, NAME, pods).await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": 9_000, "targetPort": 80}]});
    let service = create_service(cluster, NAME, spec).await?;
    let port = node_port(cluster, &service, "node-a", "")?.port();
    let from = Vantage::pod(&host_network_client(cluster, "node-a").await?);
    Ok((from, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)))
}
