//! Packets that belong to a connection and are far out of its window.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod,
    probe::Probe,
    service::{cluster_ip, create_service, node_port, pod_ip},
};
use crate::{
    client::STRAY_FLAGS,
    cluster::{Cluster, eventually},
    net::{Capture, CapturedPacket, UPLINK},
};

/// RST in a TCP header.
const RST: u8 = 0x04;
/// Segments sent on each connection.
const SEGMENTS: usize = 5;

/// A server's segment that is far out of the window breaks no connection: it reaches the client translated like any other, and the client
/// says what it expects instead, and does not reset. kube-proxy has to drop such packets, because conntrack does not translate them
/// (kubernetes#74839).
///
/// Upstream: "should drop INVALID conntrack entries"
pub async fn segments_out_of_the_window_reset_nothing(cluster: &mut Cluster) -> Result<()> {
    let server = ServerPod::of("boom", "boom-server")
        .on_node("node-a")
        .create(cluster)
        .await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let service = create_service(cluster, "boom", spec).await?;

    let client = client_pod(cluster, "node-b").await?;
    let capture = cluster.capture(&client)?;
    let target = cluster_ip(&service, 80)?;
    let packets = strays_to(cluster, &server, &Vantage::pod(&client), target, capture).await?;
    let own = pod_ip(&client)?;
    // At the node's end of the pod's cable: what the node sends out comes to the pod.
    judge(
        packets
            .iter()
            .filter(|packet| packet.outgoing && packet.destination.ip() == own),
        packets
            .iter()
            .filter(|packet| !packet.outgoing && packet.source.ip() == own),
    )?;

    // Through the node without the pod: both ways are translated by kpr.
    let capture = Capture::start(cluster.testbed().client(), UPLINK)?;
    let target = node_port(cluster, &service, "node-b", "")?;
    let packets = strays_to(cluster, &server, &Vantage::Outside, target, capture).await?;
    judge(
        packets
            .iter()
            .filter(|packet| !packet.outgoing && packet.source == target),
        packets.iter().filter(|packet| packet.outgoing),
    )
}

/// Lets the server send strays on a connection that is in use, and returns what the client's device saw meanwhile.
async fn strays_to(
    cluster: &Cluster,
    server: &Pod,
    from: &Vantage,
    target: SocketAddr,
    capture: Capture,
) -> Result<Vec<CapturedPacket>> {
    Probe::tcp(cluster, from, target).answered_by(&["boom-server"]).await?;
    let holding = from.hold(cluster, target, 1).await?;
    for _ in 0..SEGMENTS {
        // Connections of earlier requests may be there too; the one that is held must be.
        eventually("the server sends", std::time::Duration::from_secs(10), || async {
            let sent = cluster.in_pod(server, "kpr-cluster")?.args(["client", "stray", "80"]);
            let count: u32 = sent.output().await?.json()?;
            Ok(if count > 0 {
                Ok(())
            } else {
                Err("no connection".to_owned())
            })
        })
        .await?;
    }
    let held = holding.finish().await?;
    ensure!(held.broken.is_empty(), "the connection broke: {held:?}");
    tokio::task::spawn_blocking(|| capture.finish())
        .await
        .context("the capture")?
}

/// The client got strays, and sent no reset.
fn judge<'p>(
    received: impl Iterator<Item = &'p CapturedPacket>,
    sent: impl Iterator<Item = &'p CapturedPacket>,
) -> Result<()> {
    let strays = received.filter(|packet| packet.tcp_flags == STRAY_FLAGS).count();
    ensure!(strays >= SEGMENTS, "the client got {strays} strays, and not {SEGMENTS}");
    let resets: Vec<_> = sent.filter(|packet| packet.tcp_flags & RST != 0).collect();
    ensure!(resets.is_empty(), "the client sent resets: {resets:?}");
    Ok(())
}
