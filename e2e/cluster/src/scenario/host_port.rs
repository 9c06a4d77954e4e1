//! `hostPort` of containers.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    POD_PORT, Probe, ServerPod, Vantage, client_pod, delete_pod, install, server_pods,
    service::{create_service, delete_service},
};
use crate::{client::UdpStyle, cluster::Cluster};

const HOST_PORT: u16 = 8080;

/// A pod on node-a whose port 80 is the node's port 8080, TCP and UDP.
fn web() -> ServerPod {
    ServerPod::of("web", "web")
        .on_node("node-a")
        .host_port("tcp", POD_PORT, "TCP", HOST_PORT)
        .host_port("udp", POD_PORT, "UDP", HOST_PORT)
}

/// The pod answers at its own node's addresses, to everyone and over TCP and UDP; the other node's port is nobody's. Once the
/// pod is gone, so is the port.
pub async fn only_the_pods_own_node_answers(cluster: &mut Cluster) -> Result<()> {
    web().create(cluster).await?;
    let here = SocketAddr::new(cluster.node_address("node-a")?, HOST_PORT);
    let there = SocketAddr::new(cluster.node_address("node-b")?, HOST_PORT);
    let (pod_a, pod_b) = (
        Vantage::pod(&client_pod(cluster, "node-a").await?),
        Vantage::pod(&client_pod(cluster, "node-b").await?),
    );
    let (node_a, node_b) = (Vantage::node("node-a"), Vantage::node("node-b"));
    let everyone = [&Vantage::Outside, &pod_a, &pod_b, &node_a, &node_b];
    for from in everyone {
        Probe::tcp(cluster, from, here).answered_by(&["web"]).await?;
        Probe::udp(cluster, from, here).answered_by(&["web"]).await?;
        Probe::tcp(cluster, from, there).refused().await?;
    }
    let client = cluster.client_address()?;
    let seen = Vantage::Outside.http(cluster, here, 5).await?;
    ensure!(
        seen.seen_as == [client].into(),
        "the pod should see the client itself: {seen:?}"
    );
    let datagrams = Vantage::Outside.udp(cluster, here, UdpStyle::Unconnected, 5).await?;
    ensure!(datagrams.reply_sources == [here].into(), "{datagrams:?}");

    let loopback = SocketAddr::from(([127, 0, 0, 1], HOST_PORT));
    Probe::tcp(cluster, &node_a, loopback).answered_by(&["web"]).await?;
    for from in [&node_b, &pod_a] {
        Probe::tcp(cluster, from, loopback).refused().await?;
    }

    delete_pod(cluster, "web").await?;
    for from in everyone {
        Probe::tcp(cluster, from, here).refused().await?;
    }
    Ok(())
}

/// With a `hostIP` only that address has the port; with a loopback one, only programs of the node itself reach it.
pub async fn a_host_ip_has_the_port_alone(cluster: &mut Cluster) -> Result<()> {
    let address = cluster.node_address("node-a")?;
    let (own, local) = (address.to_string(), "127.0.0.1".to_owned());
    let pod = |name: &str, ip: &str| {
        ServerPod::of("web", name)
            .on_node("node-a")
            .host_port_at("tcp", POD_PORT, "TCP", (ip, HOST_PORT))
    };
    pod("own", &own).create(cluster).await?;
    pod("local", &local).create(cluster).await?;
    let node = Vantage::node("node-a");
    let loopback = SocketAddr::from(([127, 0, 0, 1], HOST_PORT));
    let target = SocketAddr::new(address, HOST_PORT);
    Probe::tcp(cluster, &node, loopback).answered_by(&["local"]).await?;
    for from in [&Vantage::Outside, &node] {
        Probe::tcp(cluster, from, target).answered_by(&["own"]).await?;
    }
    delete_pod(cluster, "own").await?;
    Probe::tcp(cluster, &Vantage::Outside, target).refused().await?;
    Probe::tcp(cluster, &node, loopback)
        .answered_by(&["local"])
        .await
        .map(|_| ())
}

/// A NodePort of the same number comes first, and the node says so; when it goes, the pod has its port again.
pub async fn a_node_port_of_the_same_number_comes_first(cluster: &mut Cluster) -> Result<()> {
    const NUMBER: u16 = 30_080;
    let pod = ServerPod::of("web", "web")
        .on_node("node-a")
        .host_port("tcp", POD_PORT, "TCP", NUMBER);
    pod.create(cluster).await?;
    let target = SocketAddr::new(cluster.node_address("node-a")?, NUMBER);
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web"])
        .await?;

    server_pods(cluster, "db", &[("db", "node-b")]).await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": NUMBER}]});
    create_service(cluster, "db", spec).await?;
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["db"])
        .await?;
    let status: Value = cluster
        .kpr("node-a")?
        .args(["status", "-o", "json"])
        .output()
        .await?
        .json()?;
    let problem = status["problems"][0].as_str().unwrap_or_default();
    ensure!(
        problem.contains("hostPort") && problem.contains("default/db"),
        "{status:#}"
    );

    delete_service(cluster, "db").await?;
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web"])
        .await
        .map(|_| ())
}

/// A hostPort answers while no agent runs, and a restarted agent adopts it without a write.
pub async fn a_restarted_agent_adopts_it(cluster: &mut Cluster) -> Result<()> {
    web().create(cluster).await?;
    let target = SocketAddr::new(cluster.node_address("node-a")?, HOST_PORT);
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web"])
        .await?;
    let load = Vantage::Outside.load(cluster, target, 2).await?;
    cluster.kill_agent("node-a").await?;
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&["web"])
        .await?;
    cluster.start_agent("node-a").await?;
    let restarted = super::restart::in_sync(cluster, "node-a").await?;
    ensure!(restarted["mapWrites"] == 0, "{restarted:#}");
    let tally = load.finish().await?;
    ensure!(tally.failed() == 0 && tally.answered() > 0, "{tally:?}");
    Ok(())
}

/// Left to the CNI, hostPorts are not served, and the port is as free as the CNI leaves it.
pub async fn it_can_be_left_to_the_cni(cluster: &mut Cluster) -> Result<()> {
    let services = json!({"clusterIP": true, "nodePort": true, "loadBalancer": true, "externalIPs": true});
    install::kpr_with(cluster, json!({"mode": "Partial", "services": services})).await?;
    web().create(cluster).await?;
    let node_port = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": 30_080}]});
    create_service(cluster, "web", node_port).await?;
    let address = cluster.node_address("node-a")?;
    let outside = Vantage::Outside;
    let served = Probe::tcp(cluster, &outside, SocketAddr::new(address, 30_080));
    served.answered_by(&["web"]).await?;
    Probe::tcp(cluster, &outside, SocketAddr::new(address, HOST_PORT))
        .refused()
        .await
}
