//! What must work on every kind of pod network: nothing here knows how packets travel between nodes.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;

use super::{Deployed, TCP_PORT, UDP_PORT, Vantage, Workload, client_pod};
use crate::{client::UdpStyle, cluster::Cluster};

const REQUESTS: u32 = 20;
/// Size of a large transfer, in bytes.
const LARGE: usize = 1 << 20;

/// With the only pod on node-a: a pod of node-b and the outside reach it, over TCP and UDP, in small and in large.
pub async fn a_pod_is_reached_from_everywhere(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .node_port()
        .deploy(cluster)
        .await?;
    let client = client_pod(cluster, "node-b").await?;
    a_pod_of_another_node_reaches_the_cluster_ip(cluster, &web, &client).await?;
    the_outside_reaches_the_node_ports(cluster, &web).await?;
    for node in cluster.node_names() {
        // The pod of node-b asks node-b's own address, and node-a's if it may.
        if node == "node-a" && !cluster.testbed().spec().nodes_hear_remote_pods() {
            continue;
        }
        for port in [TCP_PORT, UDP_PORT] {
            let target = web.node_port(cluster, &node, port)?;
            web.served(cluster, &Vantage::pod(&client), target, 1).await?;
        }
    }
    large_transfers(cluster, &web, &client).await
}

/// Its pod sees the client pod itself, and answers in the ClusterIP's name.
async fn a_pod_of_another_node_reaches_the_cluster_ip(cluster: &Cluster, web: &Deployed, client: &Pod) -> Result<()> {
    let own = client.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let own = own.context("the client pod has no address")?.parse()?;
    let from = Vantage::pod(client);
    let (tcp, udp) = (web.cluster_ip(TCP_PORT)?, web.cluster_ip(UDP_PORT)?);
    web.served(cluster, &from, tcp, 1).await?;
    web.served(cluster, &from, udp, 1).await?;
    let http = from.http(cluster, tcp, REQUESTS).await?;
    let datagrams = from.udp(cluster, udp, UdpStyle::Unconnected, REQUESTS).await?;
    for tally in [&http, &datagrams] {
        ensure!(tally.answered() == REQUESTS, "{tally:?}");
        ensure!(tally.seen_as == [own].into(), "the pod should see {own}: {tally:?}");
    }
    ensure!(http.peers == [tcp].into(), "{http:?}");
    ensure!(datagrams.reply_sources == [udp].into(), "{datagrams:?}");
    Ok(())
}

/// Through node-a its pod sees the client; through node-b it sees node-b, as node-b speaks to pods of node-a.
async fn the_outside_reaches_the_node_ports(cluster: &Cluster, web: &Deployed) -> Result<()> {
    let spec = cluster.testbed().spec();
    let node_b = spec.node("node-b").context("there is no node-b")?;
    let node_b = spec.pod_network.towards_other_nodes(node_b).primary();
    let seen = [
        ("node-a", cluster.client_address()?),
        ("node-b", node_b.context("node-b has no address")?),
    ];
    for (node, expected) in seen {
        let tcp = web.node_port(cluster, node, TCP_PORT)?;
        let udp = web.node_port(cluster, node, UDP_PORT)?;
        web.served(cluster, &Vantage::Outside, tcp, 1).await?;
        web.served(cluster, &Vantage::Outside, udp, 1).await?;
        let http = Vantage::Outside.http(cluster, tcp, REQUESTS).await?;
        let datagrams = Vantage::Outside
            .udp(cluster, udp, UdpStyle::Unconnected, REQUESTS)
            .await?;
        for tally in [&http, &datagrams] {
            ensure!(tally.answered() == REQUESTS, "through {node}: {tally:?}");
            ensure!(
                tally.seen_as == [expected].into(),
                "through {node} the pod should see {expected}: {tally:?}"
            );
        }
        ensure!(
            datagrams.reply_sources == [udp].into(),
            "answers must come from where they were asked: {datagrams:?}"
        );
    }
    Ok(())
}

/// A body larger than any window goes to the pod and comes back whole: to the ClusterIP from a pod of the other node, and to
/// either node's NodePort from outside.
async fn large_transfers(cluster: &Cluster, web: &Deployed, client: &Pod) -> Result<()> {
    let body: Vec<u8> = (0_u32..).flat_map(u32::to_be_bytes).take(LARGE).collect();
    let sent = cluster.testbed().dir().join("large-sent");
    std::fs::write(&sent, &body)?;
    let mut targets: BTreeMap<SocketAddr, Vantage> = BTreeMap::new();
    targets.insert(web.cluster_ip(TCP_PORT)?, Vantage::pod(client));
    for node in cluster.node_names() {
        targets.insert(web.node_port(cluster, &node, TCP_PORT)?, Vantage::Outside);
    }
    for (target, from) in targets {
        let received = cluster.testbed().dir().join("large-received");
        let curl = match &from {
            Vantage::Pod(pod) => cluster.in_pod(pod, "curl")?,
            Vantage::Node(node) => cluster.on_node(node, "curl")?,
            Vantage::Outside => cluster.outside("curl")?,
        };
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--globoff"])
            .args(["--data-binary", &format!("@{}", sent.display())])
            .arg("--output")
            .arg(&received)
            .arg(format!("http://{target}/echo"))
            .output()
            .await?
            .success()
            .with_context(|| format!("{LARGE} bytes from {from} to {target} and back"))?;
        ensure!(
            std::fs::read(&received)? == body,
            "{from} got something else back from {target} than it sent"
        );
        std::fs::remove_file(&received)?;
    }
    Ok(())
}
