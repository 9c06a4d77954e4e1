//! Traffic that stays in its zone or on its node, in clusters of several zones. The titles are those of
//! `test/e2e/network/traffic_distribution.go` and `topology_hints.go`. Upstream wants two nodes in every zone; the third one, where
//! only a client is, has one here.

use anyhow::{Context as _, Result};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::PostParams};
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod, delete_pod,
    probe::Probe,
    server_pods,
    service::{cluster_ip, create_labelled_service, create_service, pod_ip},
};
use crate::{
    cluster::Cluster,
    spec::{ClusterSpec, NodeSpec},
};

/// Three zones with a node each.
pub fn three_zones() -> ClusterSpec {
    zones(&[("node-a", "zone-a"), ("node-b", "zone-b"), ("node-c", "zone-c")])
}

/// Two zones with two nodes each, and one with one.
pub fn several_nodes_in_zones() -> ClusterSpec {
    zones(&[
        ("node-a1", "zone-a"),
        ("node-a2", "zone-a"),
        ("node-b1", "zone-b"),
        ("node-b2", "zone-b"),
        ("node-c1", "zone-c"),
    ])
}

fn zones(nodes: &[(&str, &str)]) -> ClusterSpec {
    let nodes = (0..).zip(nodes).map(|(index, (name, zone))| NodeSpec {
        zone: (*zone).to_owned(),
        ..NodeSpec::ipv4(name, index)
    });
    let mut spec = ClusterSpec::default();
    spec.nodes = nodes.collect();
    spec
}

/// For a cluster of [`three_zones`].
///
/// Upstream: "should route traffic to an endpoint in the same zone when using PreferClose"
pub async fn prefer_close_stays_in_the_zone(cluster: &mut Cluster) -> Result<()> {
    stays_in_the_zone(cluster, "PreferClose").await
}

/// For a cluster of [`three_zones`].
///
/// Upstream: "should route traffic to an endpoint in the same zone when using PreferSameZone"
pub async fn prefer_same_zone_stays_in_the_zone(cluster: &mut Cluster) -> Result<()> {
    stays_in_the_zone(cluster, "PreferSameZone").await
}

/// Clients with an endpoint in their zone have that one; one without has all.
async fn stays_in_the_zone(cluster: &Cluster, distribution: &str) -> Result<()> {
    let servers = [("server-a", "node-a"), ("server-b", "node-b")];
    let clients: [(&str, &[&str]); 3] = [
        ("node-a", &["server-a"]),
        ("node-b", &["server-b"]),
        ("node-c", &["server-a", "server-b"]),
    ];
    distributes(cluster, distribution, &servers, &clients).await
}

/// For a cluster of [`several_nodes_in_zones`].
///
/// Upstream: "should route traffic correctly between pods on multiple nodes when using PreferClose"
pub async fn prefer_close_uses_all_nodes_of_the_zone(cluster: &mut Cluster) -> Result<()> {
    uses_all_nodes_of_the_zone(cluster, "PreferClose").await
}

/// For a cluster of [`several_nodes_in_zones`].
///
/// Upstream: "should route traffic correctly between pods on multiple nodes when using PreferSameZone"
pub async fn prefer_same_zone_uses_all_nodes_of_the_zone(cluster: &mut Cluster) -> Result<()> {
    uses_all_nodes_of_the_zone(cluster, "PreferSameZone").await
}

/// Two nodes with an endpoint share them; a node without one has that of its neighbour; a zone without one has all.
async fn uses_all_nodes_of_the_zone(cluster: &Cluster, distribution: &str) -> Result<()> {
    let clients: [(&str, &[&str]); 4] = [
        ("node-a1", &["server-a1", "server-a2"]),
        ("node-a2", &["server-a1", "server-a2"]),
        ("node-b1", &["server-b2"]),
        ("node-c1", &["server-a1", "server-a2", "server-b2"]),
    ];
    distributes(cluster, distribution, &SEVERAL_SERVERS, &clients).await
}

const SEVERAL_SERVERS: [(&str, &str); 3] = [
    ("server-a1", "node-a1"),
    ("server-a2", "node-a2"),
    ("server-b2", "node-b2"),
];

/// For a cluster of [`several_nodes_in_zones`].
///
/// Upstream: "should route traffic to an endpoint on the same node or fall back to same zone when using PreferSameNode"
pub async fn prefer_same_node_falls_back_to_the_zone(cluster: &mut Cluster) -> Result<()> {
    let clients: [(&str, &[&str]); 4] = [
        ("node-a1", &["server-a1"]),
        ("node-a2", &["server-a2"]),
        ("node-b1", &["server-b2"]),
        ("node-c1", &["server-a1", "server-a2", "server-b2"]),
    ];
    distributes(cluster, "PreferSameNode", &SEVERAL_SERVERS, &clients).await
}

/// For a cluster of two nodes.
///
/// Upstream: "should route traffic to an endpoint on the same node when using PreferSameNode and fall back when the endpoint becomes
/// unavailable"
pub async fn prefer_same_node_falls_back_when_its_endpoint_goes(cluster: &mut Cluster) -> Result<()> {
    let servers = [("server-a", "node-a"), ("server-b", "node-b")];
    let spec = json!({"trafficDistribution": "PreferSameNode", "ports": [{"port": 80}]});
    let target = cluster_ip(&create_service(cluster, "web", spec).await?, 80)?;
    server_pods(cluster, "web", &servers).await?;
    let clients = [
        client_pod(cluster, "node-a").await?,
        client_pod(cluster, "node-b").await?,
    ];
    let clients = clients.map(|pod| Vantage::pod(&pod));
    let answered = async |pods: [&str; 2]| {
        for (client, pod) in clients.iter().zip(pods) {
            Probe::tcp(cluster, client, target).answered_by(&[pod]).await?;
        }
        anyhow::Ok(())
    };
    answered(["server-a", "server-b"]).await?;
    delete_pod(cluster, "server-a").await?;
    answered(["server-b", "server-b"]).await?;
    ServerPod::of("web", "server-a-new")
        .on_node("node-a")
        .create(cluster)
        .await?;
    answered(["server-a-new", "server-b"]).await
}

/// Hints keep requests in the zone that they name. The scenario writes them itself, as a controller does for the annotation
/// `service.kubernetes.io/topology-mode`; how they are computed is no matter of a proxy. For a cluster of [`three_zones`].
///
/// Upstream: "should distribute endpoints evenly"
pub async fn hints_keep_requests_in_their_zone(cluster: &mut Cluster) -> Result<()> {
    let spec = json!({"ports": [{"name": "example", "port": 80}]});
    let service = create_labelled_service(cluster, "hinted", json!({}), spec).await?;
    let target = cluster_ip(&service, 80)?;
    let places = [("server-a", "node-a"), ("server-b", "node-b"), ("server-c", "node-c")];
    let mut endpoints = Vec::new();
    for (pod, (_, node)) in server_pods(cluster, "hinted", &places).await?.iter().zip(places) {
        let zone = node.replace("node", "zone");
        endpoints.push(json!({
            "addresses": [pod_ip(pod)?.to_string()],
            "nodeName": node,
            "zone": zone,
            "conditions": {"ready": true},
            "hints": {"forZones": [{"name": zone}]},
        }));
    }
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let slice = serde_json::from_value(json!({
        "metadata": {"name": "hinted-1", "labels": {"kubernetes.io/service-name": "hinted"}},
        "addressType": "IPv4",
        "ports": [{"name": "example", "port": 80, "protocol": "TCP"}],
        "endpoints": endpoints,
    }))?;
    slices
        .create(&PostParams::default(), &slice)
        .await
        .context("create the slice")?;
    for (server, node) in places {
        let from = Vantage::pod(&client_pod(cluster, node).await?);
        Probe::tcp(cluster, &from, target).answered_by(&[server]).await?;
    }
    Ok(())
}

/// Each client's requests go to exactly these pods.
async fn distributes(
    cluster: &Cluster,
    distribution: &str,
    servers: &[(&str, &str)],
    clients: &[(&str, &[&str])],
) -> Result<()> {
    let spec = json!({"trafficDistribution": distribution, "ports": [{"port": 80}]});
    let target = cluster_ip(&create_service(cluster, "web", spec).await?, 80)?;
    server_pods(cluster, "web", servers).await?;
    for (node, pods) in clients {
        let from = Vantage::pod(&client_pod(cluster, node).await?);
        Probe::tcp(cluster, &from, target).answered_by(pods).await?;
    }
    Ok(())
}
