//! ClusterIPs, from pods and from nodes.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::{TCP_PORT, UDP_PORT, Vantage, Workload, client_pod};
use crate::{client::UdpStyle, cluster::Cluster};

/// 1,000 connections from a pod to a Service with two pods: all are answered, each pod serves 40 to 60 % of them, and
/// sees the client pod's own address.
pub async fn connections_are_spread_evenly(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    let client = client_pod(cluster, "node-a").await?;
    let (from, target) = (Vantage::pod(&client), web.cluster_ip(TCP_PORT)?);
    web.served(cluster, &from, target, 2).await?;

    let tally = from.http_parallel(cluster, target, 1_000, 8).await?;
    ensure!(
        tally.answered() == 1_000 && tally.failed() == 0,
        "some of 1,000 requests failed: {tally:?}"
    );
    for (pod, count) in &tally.answers {
        ensure!(
            (400..=600).contains(count),
            "{pod} served {count} of 1,000 requests: {tally:?}"
        );
    }
    ensure!(tally.answers.len() == 2, "not two pods answered: {tally:?}");
    let own: Vec<String> = tally.seen_as.iter().map(ToString::to_string).collect();
    ensure!(
        own == [pod_ip(&client)?],
        "the pods saw the client as {own:?}, not as itself"
    );
    Ok(())
}

/// No packet leaves a pod with a ClusterIP as its destination: the choice is made once, at the socket.
pub async fn no_packet_leaves_a_pod_for_a_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    let client = client_pod(cluster, "node-a").await?;
    let from = Vantage::pod(&client);
    let (tcp, udp) = (web.cluster_ip(TCP_PORT)?, web.cluster_ip(UDP_PORT)?);
    web.served(cluster, &from, tcp, 2).await?;
    web.served(cluster, &from, udp, 2).await?;

    let capture = cluster.capture(&client)?;
    let http = from.http(cluster, tcp, 50).await?;
    let connected = from.udp(cluster, udp, UdpStyle::Connected, 50).await?;
    let unconnected = from.udp(cluster, udp, UdpStyle::Unconnected, 50).await?;
    let packets = capture.finish()?;

    for tally in [&http, &connected, &unconnected] {
        ensure!(tally.answered() == 50, "some requests failed: {tally:?}");
    }
    let left: Vec<_> = packets.iter().filter(|packet| !packet.outgoing).collect();
    // Three packets at least per TCP connection, one per datagram: the capture saw what it had to see.
    ensure!(
        left.len() >= 50 * 3 + 50 * 2,
        "only {} packets were seen to leave the pod",
        left.len()
    );
    let for_service: Vec<_> = left
        .iter()
        .filter(|packet| packet.destination.ip() == tcp.ip())
        .collect();
    ensure!(
        for_service.is_empty(),
        "packets left the pod for the ClusterIP: {for_service:?}"
    );
    let from_service = packets.iter().filter(|packet| packet.source.ip() == tcp.ip()).count();
    ensure!(
        from_service == 0,
        "{from_service} packets came to the pod from the ClusterIP"
    );
    Ok(())
}

/// Programs on a node, outside any pod, reach ClusterIPs too, whichever node a pod is on.
pub async fn nodes_reach_cluster_ips(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    for node in cluster.node_names() {
        let from = Vantage::node(&node);
        web.served(cluster, &from, web.cluster_ip(TCP_PORT)?, 2).await?;
        web.served(cluster, &from, web.cluster_ip(UDP_PORT)?, 2).await?;
    }
    Ok(())
}

/// A client that asks its socket for its peer hears the ClusterIP that it connected to, over TCP and UDP.
pub async fn the_peer_of_a_socket_is_the_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let (tcp, udp) = (web.cluster_ip(TCP_PORT)?, web.cluster_ip(UDP_PORT)?);
    web.served(cluster, &from, tcp, 2).await?;
    web.served(cluster, &from, udp, 2).await?;

    let http = from.http(cluster, tcp, 10).await?;
    ensure!(http.peers == [tcp].into() && http.answered() == 10, "TCP: {http:?}");
    let datagrams = from.udp(cluster, udp, UdpStyle::Connected, 10).await?;
    ensure!(
        datagrams.peers == [udp].into() && datagrams.answered() == 10,
        "UDP: {datagrams:?}"
    );
    Ok(())
}

/// Answers to datagrams come from the ClusterIP, as the client must believe, on connected and unconnected sockets.
pub async fn datagrams_are_answered_by_the_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    let echo = Workload::named("echo").deploy(cluster).await?;
    let target = echo.cluster_ip(UDP_PORT)?;
    let from_pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for from in [from_pod, Vantage::node("node-b")] {
        echo.served(cluster, &from, target, 2).await?;
        for style in [UdpStyle::Connected, UdpStyle::Unconnected] {
            let tally = from.udp(cluster, target, style, 40).await?;
            ensure!(
                tally.answered() == 40 && tally.answers.len() == 2,
                "{style:?} from {from}: {tally:?}"
            );
            ensure!(
                tally.reply_sources == [target].into(),
                "{style:?} from {from}: {tally:?}"
            );
        }
    }
    Ok(())
}

/// A pod that is its Service's only endpoint reaches itself.
///
/// Upstream: "should allow pods to hairpin back to themselves through services"
pub async fn a_pod_reaches_itself(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").replicas(1).deploy(cluster).await?;
    let pod = web.ready_pods(cluster, 1).await?.remove(0);
    let target = web.cluster_ip(TCP_PORT)?;
    web.served(cluster, &Vantage::pod(&pod), target, 1).await?;
    let tally = Vantage::pod(&pod).http(cluster, target, 10).await?;
    ensure!(tally.from(&pod.name_any()) == 10, "{tally:?}");
    Ok(())
}

/// A Service without endpoints refuses connections at once, as kube-proxy's REJECT does.
///
/// Upstream: "should be rejected when no endpoints exist"
pub async fn a_service_without_endpoints_refuses(cluster: &mut Cluster) -> Result<()> {
    let empty = Workload::named("empty").replicas(0).deploy(cluster).await?;
    let from_pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let target = empty.cluster_ip(TCP_PORT)?;
    for from in [from_pod, Vantage::node("node-b")] {
        super::refused(cluster, &from, target).await?;
    }
    Ok(())
}

fn pod_ip(pod: &Pod) -> Result<String> {
    pod.status
        .as_ref()
        .and_then(|status| status.pod_ip.clone())
        .context("the pod has no address")
}
