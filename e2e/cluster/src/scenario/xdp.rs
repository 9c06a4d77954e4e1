//! XDP on nodes: packets to and from backends on other nodes are sent on before the kernel's own stack sees them.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use kpr_crds::{
    NodeDatapath,
    conditions::{self, NodeCondition},
};
use kube::Api;
use serde_json::json;
use tokio::time::sleep;

use super::{Deployed, TCP_PORT, UDP_PORT, Vantage, Workload, install, restart};
use crate::{
    cluster::{Cluster, eventually},
    net::{SECOND_UPLINK, UPLINK},
};

/// How long a change may take to reach every node.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long traffic goes on after a change: long enough that a broken connection would be met.
const TRAFFIC: Duration = Duration::from_millis(500);
const REQUESTS: u32 = 20;

/// NodePorts of a node whose device has XDP in its driver, over TCP and UDP and each address family: a pod on another node answers, and it
/// is XDP that sends packets on.
pub async fn a_driver_sends_packets_on(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "Native").await?;
    told(cluster, "node-b", &format!("{UPLINK}: native")).await?;
    sends_all_families_on(cluster).await
}

/// The same with XDP behind the driver, which is how a veth has it where any way will do.
pub async fn xdp_behind_the_driver_sends_packets_on(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "BestEffort").await?;
    told(cluster, "node-b", &format!("{UPLINK}: generic")).await?;
    sends_all_families_on(cluster).await
}

/// Packets that come in by a node's second device and leave by its first one.
pub async fn packets_leave_by_another_device(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(
        cluster,
        json!({
            "mode": "Strict",
            "nodePort": {"addresses": ["all"]},
            "loadBalancer": {"acceleration": "Native", "mode": "SNAT"},
        }),
    )
    .await?;
    told(cluster, "node-b", &format!("{UPLINK}: native; {SECOND_UPLINK}: native")).await?;
    let web = pod_on_a(cluster).await?;
    let second = cluster.testbed().host("node-b")?.spec.second;
    let asked = second.primary().context("the node has a second device")?;
    let on_second = |port| {
        let mut target = web.node_port(cluster, "node-b", port)?;
        target.set_ip(asked);
        Ok::<_, anyhow::Error>(target)
    };
    sends_on(cluster, &web, on_second(TCP_PORT)?, on_second(UDP_PORT)?).await
}

/// Off, in the driver, behind it, in any order, under load and with connections open: none breaks, and no new one fails.
pub async fn switching_it_loses_nothing(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "Disabled").await?;
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    let datagrams = web.node_port(cluster, "node-b", UDP_PORT)?;
    web.served(cluster, &Vantage::Outside, target, 2).await?;
    web.served(cluster, &Vantage::Outside, datagrams, 2).await?;
    let load = Vantage::Outside.load(cluster, target, 2).await?;
    let udp = Vantage::Outside.udp_hold(cluster, datagrams).await?;
    let mut held = Vec::new();
    for (acceleration, shown) in [
        ("Native", format!("{UPLINK}: native")),
        ("Disabled", String::new()),
        ("BestEffort", format!("{UPLINK}: generic")),
        ("Native", format!("{UPLINK}: native")),
    ] {
        held.push(Vantage::Outside.hold(cluster, target, 5).await?);
        install::patch_policy(cluster, json!({"loadBalancer": {"acceleration": acceleration}})).await?;
        told(cluster, "node-b", &shown).await?;
        sleep(TRAFFIC).await;
    }
    load.all_answered(50).await?;
    for holding in held {
        holding.unbroken().await?;
    }
    let report = udp.finish().await?;
    let [life] = report.sockets.as_slice() else {
        bail!("a socket of UDP broke: {report:?}");
    };
    ensure!(life.answers > 0, "no datagram was answered: {report:?}");
    ensure!(sent_on(cluster, "node-b").await? > 0, "XDP was used");
    Ok(())
}

/// `kill -9` of agents with XDP attached: as without ([`restart::killing_agents_breaks_nothing`]).
pub async fn killing_agents_breaks_nothing(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "Native").await?;
    restart::killing_agents_breaks_nothing(cluster).await?;
    ensure!(sent_on(cluster, "node-b").await? > 0, "XDP was used");
    Ok(())
}

/// With SNAT: flows with DSR are left to tc.
async fn install(cluster: &mut Cluster, acceleration: &str) -> Result<()> {
    install::kpr_with(
        cluster,
        json!({"mode": "Strict", "loadBalancer": {"acceleration": acceleration, "mode": "SNAT"}}),
    )
    .await
}

/// One pod on node-a, to be asked through node-b.
async fn pod_on_a(cluster: &Cluster) -> Result<Deployed> {
    Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .families(cluster.testbed().spec().address_families().all())
        .node_port()
        .deploy(cluster)
        .await
}

/// Asks a pod on node-a through node-b, in every way, and sees XDP send packets on.
async fn sends_all_families_on(cluster: &Cluster) -> Result<()> {
    let web = pod_on_a(cluster).await?;
    for &family in cluster.testbed().spec().address_families().all() {
        let tcp = web.node_port_of(cluster, "node-b", family, TCP_PORT)?;
        let udp = web.node_port_of(cluster, "node-b", family, UDP_PORT)?;
        sends_on(cluster, &web, tcp, udp).await?;
    }
    Ok(())
}

async fn sends_on(cluster: &Cluster, web: &Deployed, tcp: SocketAddr, udp: SocketAddr) -> Result<()> {
    web.served(cluster, &Vantage::Outside, tcp, 1).await?;
    web.served(cluster, &Vantage::Outside, udp, 1).await?;
    let before = sent_on(cluster, "node-b").await?;
    let tally = Vantage::Outside.http(cluster, tcp, REQUESTS).await?;
    ensure!(tally.answered() == REQUESTS, "{tcp}: {tally:?}");
    // The answer, its end, and the client's two words to them.
    grown(cluster, before, 4 * REQUESTS).await?;
    let before = sent_on(cluster, "node-b").await?;
    let holding = Vantage::Outside.udp_hold(cluster, udp).await?;
    sleep(TRAFFIC).await;
    let report = holding.finish().await?;
    let [life] = report.sockets.as_slice() else {
        bail!("a socket of UDP broke: {report:?}");
    };
    ensure!(life.answers >= 5, "too few datagrams to tell: {report:?}");
    // All but the first one there and back: tc begins the flow.
    grown(cluster, before, 2 * life.answers - 2).await
}

/// XDP of node-b has sent on so many packets more than `before`.
async fn grown(cluster: &Cluster, before: u64, packets: u32) -> Result<()> {
    eventually("the packets are counted", PATIENCE, || async move {
        let now = sent_on(cluster, "node-b").await?;
        Ok(if now >= before + u64::from(packets) {
            Ok(())
        } else {
            Err(format!("{before}, then {now}, and not {packets} more"))
        })
    })
    .await
}

/// How many packets XDP of a node has sent on.
async fn sent_on(cluster: &Cluster, node: &str) -> Result<u64> {
    let status = cluster.kpr_json(node, &["status"]).await?;
    let counters = status["counters"].as_array().context("counters")?;
    let counter = counters.iter().find(|counter| counter["reason"] == "xdp_forwarded");
    counter
        .and_then(|counter| counter["count"].as_u64())
        .context("the counter of XDP")
}

/// Waits until a node's condition begins with this; nothing: until it has none.
async fn told(cluster: &Cluster, node: &str, expected: &str) -> Result<()> {
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    eventually(&format!("{node} tells {expected:?}"), PATIENCE, || async {
        let status = nodes.get(node).await?.status.unwrap_or_default();
        let told = conditions::find(&status.conditions, NodeCondition::Accelerated.as_str());
        let message = told.map_or("", |condition| condition.message.as_str());
        let is_so = if expected.is_empty() {
            told.is_none()
        } else {
            message.starts_with(expected)
        };
        Ok(if is_so { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await
}
