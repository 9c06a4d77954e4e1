//! A UDP client behind a load balancer, with one socket all the time, whose server goes while another one comes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{ADDRESS, balancer};
use crate::{
    client::unix_ms,
    cluster::Cluster,
    scenario::{
        ServerPod, Vantage, delete_pod,
        probe::Probe,
        service::{balance_load, create_service},
    },
};

/// How long the client may be without an answer once its server is gone. Upstream allows minutes.
const LIMIT: Duration = Duration::from_secs(1);

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on different nodes"
pub async fn server_pod_cycles_on_different_nodes(cluster: &mut Cluster) -> Result<()> {
    server_pod_cycles(cluster, "node-b").await
}

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on the same nodes"
pub async fn server_pod_cycles_on_the_same_node(cluster: &mut Cluster) -> Result<()> {
    server_pod_cycles(cluster, "node-a").await
}

/// The load balancer leads to node-a, where the first server is; the second one is on `node`.
async fn server_pod_cycles(cluster: &Cluster, node: &str) -> Result<()> {
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "UDP"}]});
    create_service(cluster, "web", spec).await?;
    balance_load(cluster, "web", &[(ADDRESS, "node-a")]).await?;
    ServerPod::of("web", "web-1").on_node("node-a").create(cluster).await?;
    let from = Vantage::Outside;
    let target = balancer(ADDRESS, 80)?;
    let probe = Probe::udp(cluster, &from, target);
    probe.answered_by(&["web-1"]).await?;

    let client = from.udp_hold(cluster, target).await?;
    ServerPod::of("web", "web-2").on_node(node).create(cluster).await?;
    probe.answered_by(&["web-1", "web-2"]).await?;
    delete_pod(cluster, "web-1").await?;
    let gone = unix_ms();
    sleep(LIMIT).await;
    let held = client.finish().await?;

    let [socket] = &held.sockets[..] else {
        anyhow::bail!("nothing happens to sockets outside the cluster: {held:?}");
    };
    ensure!(socket.end.is_none(), "the socket broke: {held:?}");
    ensure!(
        socket.first_ms.contains_key("web-1"),
        "the first server never answered: {held:?}"
    );
    let first = socket.first_ms.get("web-2");
    let first = first.with_context(|| format!("the second server never answered: {held:?}"))?;
    let limit = gone + u64::try_from(LIMIT.as_millis())?;
    ensure!(
        *first <= limit,
        "the first server was gone at {gone}, the second answered at {first}: {held:?}"
    );
    Ok(())
}
