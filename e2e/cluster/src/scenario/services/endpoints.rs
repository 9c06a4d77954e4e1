//! Services that follow their pods.

use anyhow::Result;
use serde_json::json;

use super::http;
use crate::{
    cluster::Cluster,
    scenario::{
        POD_PORT, Probe, ServerPod, Vantage, client_pod, delete_pod,
        service::{cluster_ip, create_service},
    },
};

/// A Service has no pod, one, two, one, none; each time exactly these answer, and none refuses.
///
/// Upstream: "should serve a basic endpoint from pods"
pub async fn should_serve_a_basic_endpoint_from_pods(cluster: &mut Cluster) -> Result<()> {
    let name = "endpoint-test2";
    let service = create_service(cluster, name, json!({"ports": http()})).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    probe.refused().await?;
    ServerPod::of(name, "pod1").on_node("node-a").create(cluster).await?;
    probe.answered_by(&["pod1"]).await?;
    ServerPod::of(name, "pod2").on_node("node-b").create(cluster).await?;
    probe.answered_by(&["pod1", "pod2"]).await?;
    delete_pod(cluster, "pod1").await?;
    probe.answered_by(&["pod2"]).await?;
    delete_pod(cluster, "pod2").await?;
    probe.refused().await
}

/// Two ports lead to named ports that each only one of two pods has: each port follows its own pod.
///
/// Upstream: "should serve multiport endpoints from pods"
pub async fn should_serve_multiport_endpoints_from_pods(cluster: &mut Cluster) -> Result<()> {
    let name = "multi-endpoint-test";
    let ports = json!([
        {"name": "portname1", "port": 80, "targetPort": "svc1"},
        {"name": "portname2", "port": 81, "targetPort": "svc2"},
    ]);
    let service = create_service(cluster, name, json!({"ports": ports})).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let first = Probe::tcp(cluster, &from, cluster_ip(&service, 80)?);
    let second = Probe::tcp(cluster, &from, cluster_ip(&service, 81)?);
    first.refused().await?;
    second.refused().await?;

    let pod1 = ServerPod::of(name, "pod1").on_node("node-a").port("svc1", 100, "TCP");
    pod1.create(cluster).await?;
    first.answered_by(&["pod1"]).await?;
    second.refused().await?;
    let pod2 = ServerPod::of(name, "pod2").on_node("node-b").port("svc2", 101, "TCP");
    pod2.create(cluster).await?;
    second.answered_by(&["pod2"]).await?;
    first.answered_by(&["pod1"]).await?;

    delete_pod(cluster, "pod1").await?;
    first.refused().await?;
    second.answered_by(&["pod2"]).await?;
    delete_pod(cluster, "pod2").await?;
    second.refused().await
}
