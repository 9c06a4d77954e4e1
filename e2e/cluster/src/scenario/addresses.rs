//! Which addresses serve: `nodePort.addresses`, and the `ipMode` of LoadBalancer IPs.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use super::{
    POD_PORT, Probe, Vantage, client_pod, install, server_pods,
    service::{balance_load, create_service, set_ip_mode},
};
use crate::cluster::Cluster;

const NUMBER: u16 = 30_080;

/// NodePorts are served on the addresses that `nodePort.addresses` names, and nowhere else, whenever it changes.
pub async fn node_ports_are_served_where_the_policy_says(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(
        cluster,
        json!({"mode": "Strict", "nodePort": {"addresses": ["primary"]}}),
    )
    .await?;
    server_pods(cluster, "web", &[("web-a", "node-a"), ("web-b", "node-b")]).await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": NUMBER}]});
    create_service(cluster, "web", spec).await?;
    let (outside, node) = (Vantage::Outside, Vantage::node("node-a"));
    let pod = Vantage::pod(&client_pod(cluster, "node-a").await?);

    let primary = SocketAddr::new(cluster.node_address("node-a")?, NUMBER);
    // The bridge's own address.
    let inside = SocketAddr::from(([10, 244, 0, 1], NUMBER));
    let loopback = SocketAddr::from(([127, 0, 0, 1], NUMBER));
    let places = [
        ("primary", &outside, primary),
        ("primary", &pod, primary),
        ("inside", &pod, inside),
        ("inside", &node, inside),
        ("localhost", &node, loopback),
    ];
    for (words, served) in [
        (vec!["primary"], vec!["primary"]),
        (vec!["primary", "localhost"], vec!["primary", "localhost"]),
        (vec!["localhost"], vec!["localhost"]),
        (vec!["10.244.0.0/16"], vec!["inside"]),
        (vec!["10.244.0.0/16", "primary"], vec!["primary", "inside"]),
        (vec!["all"], vec!["primary", "inside", "localhost"]),
        (vec!["fd00::/8"], vec!["primary", "inside", "localhost"]),
    ] {
        install::patch_policy(cluster, json!({"nodePort": {"addresses": words}})).await?;
        for (place, from, target) in places {
            let probe = Probe::tcp(cluster, from, target);
            if served.contains(&place) {
                probe.answered_by(&["web-a", "web-b"]).await?;
            } else {
                probe.refused().await?;
            }
        }
    }
    // Loopback is a namespace's own: a pod's leads to the pod.
    Probe::tcp(cluster, &pod, loopback).refused().await
}

/// An IP of mode `VIP` is served by the node; one of mode `Proxy` is the load balancer's own business, for clients in the
/// cluster too.
pub async fn only_load_balancer_ips_of_mode_vip_are_served(cluster: &mut Cluster) -> Result<()> {
    const VIP: &str = "203.0.113.7";
    server_pods(cluster, "web", &[("web-a", "node-a"), ("web-b", "node-b")]).await?;
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": POD_PORT}]});
    create_service(cluster, "web", spec).await?;
    balance_load(cluster, "web", &[(VIP, "node-a")]).await?;
    let target = SocketAddr::new(VIP.parse()?, POD_PORT);
    let pod = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let everyone = [Vantage::Outside, pod, Vantage::node("node-a")];
    for (mode, is_served) in [("VIP", true), ("Proxy", false), ("VIP", true)] {
        set_ip_mode(cluster, "web", VIP, mode).await?;
        for from in &everyone {
            let probe = Probe::tcp(cluster, from, target);
            if is_served {
                probe.answered_by(&["web-a", "web-b"]).await?;
            } else {
                probe.unanswered().await?;
            }
        }
    }
    Ok(())
}
