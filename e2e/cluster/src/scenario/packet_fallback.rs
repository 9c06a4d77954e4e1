//! Pods whose sockets kpr does not see, as those of virtual machines and user-space kernels: their packets are balanced one by
//! one on pod-facing devices. Here the socket programs are off, so that every pod is such a pod.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, install};
use crate::{client::UdpStyle, cluster::Cluster};

const REQUESTS: u32 = 100;

/// A pod reaches every backend of a ClusterIP, on its own node and on the other; the backends see the pod's own address, and
/// answers come from the ClusterIP.
pub async fn pods_reach_cluster_ips_without_socket_programs(cluster: &mut Cluster) -> Result<()> {
    let spec = json!({"mode": "Strict", "socketLB": {"enabled": false, "packetFallback": true}});
    install::kpr_with(cluster, spec).await?;
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let pod = client_pod(cluster, "node-a").await?;
    let from = Vantage::pod(&pod);
    for port in [TCP_PORT, UDP_PORT] {
        web.served(cluster, &from, web.cluster_ip(port)?, 2).await?;
    }
    let own = pod
        .status
        .and_then(|status| status.pod_ip)
        .unwrap_or_default()
        .parse()?;
    let http = from.http(cluster, web.cluster_ip(TCP_PORT)?, REQUESTS).await?;
    let asked = web.cluster_ip(UDP_PORT)?;
    let datagrams = from.udp(cluster, asked, UdpStyle::Unconnected, REQUESTS).await?;
    for tally in [&http, &datagrams] {
        ensure!(tally.answered() == REQUESTS, "{tally:?}");
        ensure!(
            tally.seen_as == [own].into(),
            "backends should see the pod's address {own}: {tally:?}"
        );
    }
    ensure!(
        datagrams.reply_sources == [asked].into(),
        "answers must come from the ClusterIP: {datagrams:?}"
    );
    Ok(())
}

/// A pod reaches itself through its Service, packet by packet.
pub async fn a_pod_reaches_itself_without_socket_programs(cluster: &mut Cluster) -> Result<()> {
    let spec = json!({"mode": "Strict", "socketLB": {"enabled": false, "packetFallback": true}});
    install::kpr_with(cluster, spec).await?;
    let web = Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .deploy(cluster)
        .await?;
    let itself = Vantage::pod(&web.pod_on(cluster, "node-a").await?);
    web.served(cluster, &itself, web.cluster_ip(TCP_PORT)?, 1).await
}
