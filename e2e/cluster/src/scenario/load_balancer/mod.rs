//! Services behind a load balancer, which here is a scenario that writes `status.loadBalancer` and leads the outside to a node.
//! The upstream titles are those of `test/e2e/network/loadbalancer.go`; a few of them are with the health checks.

mod affinity;
mod change;
mod rolling;
mod udp;

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::json;

pub use self::{
    affinity::{
        session_affinity_can_be_switched_with_esipp_off, session_affinity_can_be_switched_with_esipp_on,
        session_affinity_works_with_esipp_off, session_affinity_works_with_esipp_on,
    },
    change::{
        a_service_without_node_ports_is_served_and_gets_them_later, type_and_ports_of_a_tcp_service_change,
        type_and_ports_of_a_udp_service_change,
    },
    rolling::{rolling_update_with_policy_cluster_fails_no_request, rolling_update_with_policy_local_fails_no_request},
    udp::{server_pod_cycles_on_different_nodes, server_pod_cycles_on_the_same_node},
};
use super::{
    ServerPod, Vantage, client_pod,
    probe::Probe,
    service::{balance_load, create_service, node_port, pod_ip},
};
use crate::cluster::Cluster;

/// The address of the load balancer (TEST-NET-3, RFC 5737: nobody's).
const ADDRESS: &str = "203.0.113.10";
/// The address that leads to another node.
const SECOND_ADDRESS: &str = "203.0.113.11";

/// Where the load balancer is reached.
fn balancer(address: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address.parse()?, port))
}

/// With `externalTrafficPolicy: Local`, the nodes with endpoints show pods and the outside as they are.
///
/// Upstream: "should work for type=NodePort"
pub async fn node_ports_with_policy_local_preserve_the_client(cluster: &mut Cluster) -> Result<()> {
    let pod = ServerPod::of("web", "web-1").on_node("node-a").create(cluster).await?;
    let spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let service = create_service(cluster, "web", spec).await?;
    let target = node_port(cluster, &service, "node-a", "")?;
    for node in cluster.node_names() {
        let client = client_pod(cluster, &node).await?;
        let tally = Probe::tcp(cluster, &Vantage::pod(&client), target)
            .answered_by(&["web-1"])
            .await?;
        let own = pod_ip(&client)?;
        ensure!(
            tally.seen_as == [own].into(),
            "{pod_ip:?} should see {own}: {tally:?}",
            pod_ip = pod_ip(&pod)
        );
    }
    let tally = Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web-1"])
        .await?;
    let outside = cluster.client_address()?;
    ensure!(tally.seen_as == [outside].into(), "should see {outside}: {tally:?}");
    Ok(())
}

/// Pods on any node reach a load balancer with `externalTrafficPolicy: Local` inside the cluster, and are seen as they are.
///
/// Upstream: "should work from pods"
pub async fn pods_reach_it_with_policy_local_from_any_node(cluster: &mut Cluster) -> Result<()> {
    ServerPod::of("web", "web-1").on_node("node-a").create(cluster).await?;
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    create_service(cluster, "web", spec).await?;
    balance_load(cluster, "web", &[(ADDRESS, "node-a")]).await?;
    for node in cluster.node_names() {
        let client = client_pod(cluster, &node).await?;
        let tally = Probe::tcp(cluster, &Vantage::pod(&client), balancer(ADDRESS, 80)?)
            .answered_by(&["web-1"])
            .await?;
        let own = pod_ip(&client)?;
        ensure!(tally.seen_as == [own].into(), "should see {own}: {tally:?}");
    }
    Ok(())
}
