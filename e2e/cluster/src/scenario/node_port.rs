//! NodePorts, from outside, from pods and from nodes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};

use super::{TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, seen};
use crate::{
    address::Family,
    client::{Tally, UdpStyle},
    cluster::Cluster,
    kube_proxy::desired::Protocol,
};

const REQUESTS: u32 = 20;

/// A client outside reaches every pod through every node, over TCP and UDP.
pub async fn every_node_answers_the_outside(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    for node in cluster.node_names() {
        for port in [TCP_PORT, UDP_PORT] {
            web.served(cluster, &Vantage::Outside, web.node_port(cluster, &node, port)?, 2)
                .await?;
        }
    }
    Ok(())
}

/// A pod on the node that was asked sees the outside client's own address, over TCP and UDP.
pub async fn a_local_pod_sees_the_clients_address(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.client_address()?;
    seen_through(cluster, "node-a", [client, client]).await
}

/// A pod on another node than the one that was asked sees that node's address, so that its answer takes the way back; with DSR it sees the
/// client's own, and its answer comes from where the client has asked all the same. Over TCP and UDP.
pub async fn a_remote_pod_sees_the_address_that_the_mode_promises(cluster: &mut Cluster) -> Result<()> {
    let expected = |protocol| seen::behind_another_node(cluster, "node-b", Family::V4, protocol);
    let expected = [expected(Protocol::Tcp)?, expected(Protocol::Udp)?];
    seen_through(cluster, "node-b", expected).await
}

/// With the only pod on node-a, asks `node` from outside; the pod must see what is expected over TCP and over UDP.
async fn seen_through(cluster: &Cluster, node: &str, expected: [IpAddr; 2]) -> Result<()> {
    let web = Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .node_port()
        .deploy(cluster)
        .await?;
    let (tcp, udp) = (
        web.node_port(cluster, node, TCP_PORT)?,
        web.node_port(cluster, node, UDP_PORT)?,
    );
    web.served(cluster, &Vantage::Outside, tcp, 1).await?;
    web.served(cluster, &Vantage::Outside, udp, 1).await?;
    let [over_tcp, over_udp] = expected;
    seen::settled(cluster, &Vantage::Outside, tcp, Protocol::Tcp, &[over_tcp]).await?;
    seen::settled(cluster, &Vantage::Outside, udp, Protocol::Udp, &[over_udp]).await?;
    let http = Vantage::Outside.http(cluster, tcp, REQUESTS).await?;
    let datagrams = Vantage::Outside
        .udp(cluster, udp, UdpStyle::Unconnected, REQUESTS)
        .await?;
    for (tally, expected) in [&http, &datagrams].into_iter().zip(expected) {
        ensure!(tally.answered() == REQUESTS, "{tally:?}");
        ensure!(
            tally.seen_as == [expected].into(),
            "the pod should see {expected}: {tally:?}"
        );
    }
    ensure!(
        datagrams.reply_sources == [udp].into(),
        "answers must come from where they were asked: {datagrams:?}"
    );
    Ok(())
}

/// Pods and nodes reach a NodePort at either node's address, their own and the other's.
pub async fn pods_and_nodes_reach_it_too(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let from_pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for from in [from_pod, Vantage::node("node-a")] {
        for node in cluster.node_names() {
            for port in [TCP_PORT, UDP_PORT] {
                web.served(cluster, &from, web.node_port(cluster, &node, port)?, 2)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Traffic for a node's own ports that belong to no Service passes: here the API server's, which is asked from the
/// other node and from outside.
pub async fn a_nodes_own_ports_stay_its_own(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    web.served(
        cluster,
        &Vantage::Outside,
        web.node_port(cluster, "node-a", TCP_PORT)?,
        2,
    )
    .await?;
    let api = SocketAddr::new(cluster.node_address("node-a")?, crate::spec::API_PORT);
    for from in [Vantage::Outside, Vantage::node("node-b")] {
        // The API server knows no /json, and says so: an HTTP answer, which is all that is asked here.
        let tally: Tally = from.http(cluster, api, 5).await?;
        let answered = tally.failures.keys().all(|failure| failure.starts_with("HTTP "));
        ensure!(answered && tally.failed() == 5, "from {from}: {tally:?}");
    }
    Ok(())
}
