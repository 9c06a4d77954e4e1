//! Services whose ports change, and ports that differ in their protocol only.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{is_reachable, ports};
use crate::{
    cluster::Cluster,
    scenario::{
        Probe, ServerPod, Vantage, client_pod, server_pods,
        service::{cluster_ip, create_service, patch_service},
    },
};

/// A second port is served as soon as the Service has it; a port that it has no more is served no longer, and the other one goes
/// on.
///
/// Upstream: "should be updated after adding or deleting ports"
pub async fn should_be_updated_after_adding_or_deleting_ports(cluster: &mut Cluster) -> Result<()> {
    let name = "edit-port-test";
    let first_port = json!({"name": "first", "port": 80, "targetPort": 8080});
    let second_port = json!({"name": "second", "port": 81, "targetPort": 8081});
    let service = create_service(cluster, name, json!({"ports": [first_port]})).await?;
    let pod = ServerPod::of(name, "pod1").on_node("node-a");
    let pod = pod.port("first", 8080, "TCP").port("second", 8081, "TCP");
    pod.create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let first = Probe::tcp(cluster, &from, cluster_ip(&service, 80)?);
    let second = Probe::tcp(cluster, &from, cluster_ip(&service, 81)?);
    first.answered_by(&["pod1"]).await?;
    second.unanswered().await?;

    patch_service(cluster, name, json!({"ports": [first_port, second_port]})).await?;
    second.answered_by(&["pod1"]).await?;
    first.answered_by(&["pod1"]).await?;

    patch_service(cluster, name, json!({"ports": [second_port]})).await?;
    first.unanswered().await?;
    second.answered_by(&["pod1"]).await.map(|_tally| ())
}

/// A ClusterIP Service becomes a NodePort Service, and then has the same port number for TCP and UDP: the ClusterIP and every
/// node's address answer over both.
///
/// Upstream: "should be able to update service type to NodePort listening on same port number but different protocols"
pub async fn should_be_able_to_update_service_type_to_node_port_listening_on_same_port_number_but_different_protocols(
    cluster: &mut Cluster,
) -> Result<()> {
    let name = "nodeport-update-service";
    let tcp_port = json!({"name": "tcp-port", "port": 80, "protocol": "TCP"});
    let udp_port = json!({"name": "udp-port", "port": 80, "protocol": "UDP"});
    create_service(cluster, name, json!({"ports": [{"port": 80}]})).await?;
    let places = [("pod1", "node-a"), ("pod2", "node-b")];
    server_pods(cluster, name, &places).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);

    let spec = json!({"type": "NodePort", "ports": [tcp_port]});
    let service = patch_service(cluster, name, spec).await?;
    is_reachable(cluster, &service, &from, &["pod1", "pod2"]).await?;

    let service = patch_service(cluster, name, json!({"ports": [tcp_port, udp_port]})).await?;
    ensure!(
        ports(&service).iter().filter(|port| port.node_port.is_some()).count() == 2,
        "both ports need a NodePort: {service:?}"
    );
    is_reachable(cluster, &service, &from, &["pod1", "pod2"]).await
}

/// TCP and UDP on one port number: both are served; each goes when its port goes, and the other one stays.
///
/// Upstream: "should serve endpoints on same port and different protocols"
pub async fn should_serve_endpoints_on_same_port_and_different_protocols(cluster: &mut Cluster) -> Result<()> {
    let name = "multiprotocol-test";
    let tcp_port = json!({"name": "tcp-port", "port": 80, "protocol": "TCP"});
    let udp_port = json!({"name": "udp-port", "port": 80, "protocol": "UDP"});
    let service = create_service(cluster, name, json!({"ports": [tcp_port, udp_port]})).await?;
    ServerPod::of(name, "pod1").on_node("node-a").create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let target = cluster_ip(&service, 80)?;
    let (tcp, udp) = (Probe::tcp(cluster, &from, target), Probe::udp(cluster, &from, target));
    tcp.answered_by(&["pod1"]).await?;
    udp.answered_by(&["pod1"]).await?;

    patch_service(cluster, name, json!({"ports": [tcp_port]})).await?;
    udp.unanswered().await?;
    tcp.answered_by(&["pod1"]).await?;

    patch_service(cluster, name, json!({"ports": [udp_port]})).await?;
    tcp.unanswered().await?;
    udp.answered_by(&["pod1"]).await.map(|_tally| ())
}

/// The same of a LoadBalancer Service that no load balancer has taken on: inside the cluster it is served at its ClusterIP and
/// NodePorts, where one number stands for TCP and UDP.
///
/// Upstream: "should serve endpoints on same port and different protocol for internal traffic on Type LoadBalancer"
pub async fn should_serve_endpoints_on_same_port_and_different_protocol_for_internal_traffic_on_type_load_balancer(
    cluster: &mut Cluster,
) -> Result<()> {
    let name = "multiprotocol-lb-test";
    let spec = json!({
        "type": "LoadBalancer",
        "ports": [
            {"name": "portname1", "port": 80, "targetPort": "svc1", "protocol": "TCP"},
            {"name": "portname2", "port": 80, "targetPort": "svc2", "protocol": "UDP"},
        ],
    });
    let service = create_service(cluster, name, spec).await?;
    let numbers: Vec<_> = ports(&service).iter().map(|port| port.node_port).collect();
    ensure!(
        numbers.len() == 2 && numbers[0].is_some() && numbers[0] == numbers[1],
        "one number for both: {service:?}"
    );
    let pod = ServerPod::of(name, "pod1").on_node("node-a");
    let pod = pod.port("svc1", 100, "TCP").port("svc2", 100, "UDP");
    pod.create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    is_reachable(cluster, &service, &from, &["pod1"]).await
}
