//! `loadBalancerSourceRanges`: who may connect to a LoadBalancer IP.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    POD_PORT, Probe, Vantage, client_pod, server_pods,
    service::{balance_load, cluster_ip, create_service, node_port, patch_service},
};
use crate::cluster::{Cluster, eventually};

const VIP: &str = "203.0.113.7";
const OUTSIDE: &str = "192.168.49.100/32";
const PODS: &str = "10.244.0.0/16";
const NODES: &str = "192.168.49.0/28";

/// A Service `web` of type LoadBalancer with these ranges, whose address is routed to node-a; and where to reach it.
async fn load_balancer(cluster: &Cluster, ranges: Value) -> Result<SocketAddr> {
    let spec = json!({
        "type": "LoadBalancer",
        "loadBalancerSourceRanges": ranges,
        "ports": [
            {"name": "tcp", "port": POD_PORT, "protocol": "TCP"},
            {"name": "udp", "port": POD_PORT, "protocol": "UDP"},
        ],
    });
    create_service(cluster, "web", spec).await?;
    balance_load(cluster, "web", &[(VIP, "node-a")]).await?;
    Ok(SocketAddr::new(VIP.parse()?, POD_PORT))
}

async fn set_ranges(cluster: &Cluster, ranges: Value) -> Result<()> {
    let changed = patch_service(cluster, "web", json!({"loadBalancerSourceRanges": ranges})).await;
    changed.map(|_| ())
}

/// Clients outside, in pods and on nodes are let in or not as the ranges say, over TCP and UDP, whenever these change. The
/// Service's other addresses are for everyone.
///
/// Upstream: "should only allow access from service loadbalancer source ranges"
pub async fn only_clients_inside_the_ranges_are_let_in(cluster: &mut Cluster) -> Result<()> {
    server_pods(cluster, "web", &[("web-a", "node-a"), ("web-b", "node-b")]).await?;
    let pods = ["web-a", "web-b"];
    let (pod_a, pod_b) = (
        Vantage::pod(&client_pod(cluster, "node-a").await?),
        Vantage::pod(&client_pod(cluster, "node-b").await?),
    );
    let (outside, node) = (Vantage::Outside, Vantage::node("node-b"));
    ensure!(!on_pods(cluster, "node-a").await?.0, "nothing has ranges yet");

    let target = load_balancer(cluster, json!([OUTSIDE])).await?;
    for (ranges, inside) in [
        (json!([OUTSIDE]), vec![&outside]),
        (json!([PODS]), vec![&pod_a, &pod_b]),
        (json!([NODES, OUTSIDE]), vec![&outside, &node]),
        (Value::Null, vec![&outside, &pod_a, &pod_b, &node]),
    ] {
        set_ranges(cluster, ranges).await?;
        for from in [&outside, &pod_a, &pod_b, &node] {
            let is_inside = inside.iter().any(|one| std::ptr::eq(*one, from));
            for probe in [Probe::tcp(cluster, from, target), Probe::udp(cluster, from, target)] {
                if is_inside {
                    probe.answered_by(&pods).await?;
                } else if let Vantage::Node(_) = from {
                    // Its sockets are told at once, with an error of their own.
                    probe.unanswered().await?;
                } else {
                    probe.dropped().await?;
                }
            }
        }
    }

    set_ranges(cluster, json!(["198.51.100.0/24"])).await?;
    Probe::tcp(cluster, &outside, target).dropped().await?;
    let service = patch_service(cluster, "web", json!({})).await?;
    let node_port = node_port(cluster, &service, "node-b", "tcp")?;
    Probe::tcp(cluster, &outside, node_port).answered_by(&pods).await?;
    let cluster_ip = cluster_ip(&service, POD_PORT)?;
    Probe::tcp(cluster, &pod_a, cluster_ip).answered_by(&pods).await?;
    Ok(())
}

/// Without any endpoint everyone is refused, whether inside the ranges or not.
pub async fn a_service_without_endpoints_refuses_everyone(cluster: &mut Cluster) -> Result<()> {
    let target = load_balancer(cluster, json!(["198.51.100.0/24"])).await?;
    let pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for from in [Vantage::Outside, pod, Vantage::node("node-b")] {
        Probe::tcp(cluster, &from, target).refused().await?;
    }
    Ok(())
}

/// A pod's connection outlives the ranges that it began under. Programs are on pods' devices from before the ranges are served
/// until that connection is over, and `kpr status` says why.
pub async fn a_pods_connection_outlives_the_ranges(cluster: &mut Cluster) -> Result<()> {
    server_pods(cluster, "web", &[("web-b", "node-b")]).await?;
    let pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    ensure!(!on_pods(cluster, "node-a").await?.0, "nothing has ranges yet");
    let target = load_balancer(cluster, json!([PODS])).await?;
    Probe::tcp(cluster, &pod, target).answered_by(&["web-b"]).await?;
    told(cluster, "source ranges", Duration::from_secs(10)).await?;

    let held = pod.hold(cluster, target, 4).await?;
    set_ranges(cluster, Value::Null).await?;
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web-b"])
        .await?;
    told(cluster, "open flows", Duration::from_secs(20)).await?;
    let report = held.finish().await?;
    ensure!(report.broken.is_empty() && report.exchanges > 0, "{report:?}");
    // Flows are swept every 30 s, and closed ones are kept for 10 s.
    // A closed connection is remembered for a minute, and two sweeps must have found none.
    told(cluster, "not needed", Duration::from_secs(150)).await
}

/// Waits until node-a gives this as the reason why programs are on pods' devices, or are not.
async fn told(cluster: &Cluster, reason: &str, patience: Duration) -> Result<()> {
    eventually(&format!("node-a tells of {reason}"), patience, || async {
        let (_, detail) = on_pods(cluster, "node-a").await?;
        Ok(if detail.contains(reason) { Ok(()) } else { Err(detail) })
    })
    .await
}

/// Whether programs are on pods' devices of a node, and what it says about it.
async fn on_pods(cluster: &Cluster, node: &str) -> Result<(bool, String)> {
    let status: Value = cluster
        .kpr(node)?
        .args(["status", "-o", "json"])
        .output()
        .await?
        .json()?;
    let devices = &status["details"]["podDevices"];
    let detail = devices["detail"].as_str().context("no detail")?.to_owned();
    Ok((devices["enabled"] == true, detail))
}
