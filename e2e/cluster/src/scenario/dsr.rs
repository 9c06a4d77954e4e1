//! `loadBalancer.mode` DSR and Hybrid: a backend's node answers the client itself.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use kpr_crds::{
    ForwardingMode, NodeDatapath,
    conditions::{self, NodeCondition},
};
use kube::Api;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Deployed, Holding, TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, install, paths, restart, seen, shapes,
};
use crate::{
    address::Family,
    client::UdpStyle,
    cluster::{Cluster, eventually},
    kube_proxy::desired::Protocol,
    net::{Capture, CapturedPacket, UPLINK},
};

/// How long a change may take to reach every node.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long traffic goes on after a change: long enough that a broken connection would be met.
const TRAFFIC: Duration = Duration::from_millis(500);
const REQUESTS: u32 = 20;

/// Installs kpr in this mode.
async fn install(cluster: &mut Cluster, mode: &str, dispatch: &str) -> Result<()> {
    let load_balancer = json!({"mode": mode, "dsrDispatch": dispatch});
    install::kpr_with(cluster, json!({"mode": "Strict", "loadBalancer": load_balancer})).await
}

/// Waits until the pods behind a TCP port see their client as `expected`: nodes have to hear of each other first.
pub(super) async fn seen_as(cluster: &Cluster, from: &Vantage, target: SocketAddr, expected: IpAddr) -> Result<()> {
    eventually(
        &format!("{from} is seen as {expected} behind {target}"),
        PATIENCE,
        || async move {
            let tally = from.http(cluster, target, REQUESTS).await?;
            ensure!(tally.answered() == REQUESTS, "requests to {target} fail: {tally:?}");
            Ok(if tally.seen_as == [expected].into() {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        },
    )
    .await
}

/// What must work on every pod network works with DSR, whichever way packets are encapsulated: transfers of any size, both ways, among
/// them; and pods see clients outside by whatever node these ask.
pub async fn a_pod_is_reached_from_everywhere(cluster: &mut Cluster, dispatch: &str) -> Result<()> {
    install(cluster, "DSR", dispatch).await?;
    shapes::a_pod_is_reached_from_everywhere_by_dsr(cluster).await
}

/// The answer does not come by the node that was asked: it leaves the backend's node in that one's name.
pub async fn answers_leave_the_backends_node(cluster: &mut Cluster, dispatch: &str) -> Result<()> {
    install(cluster, "DSR", dispatch).await?;
    let families = cluster.testbed().spec().address_families();
    let web = on_node_a(cluster).await?;
    for &family in families.all() {
        let client = cluster.client_address_of(family)?;
        for port in [TCP_PORT, UDP_PORT] {
            let target = web.node_port_of(cluster, "node-b", family, port)?;
            if port == TCP_PORT {
                seen_as(cluster, &Vantage::Outside, target, client).await?;
            }
            let capture = |node: &str| Capture::start(&cluster.testbed().host(node)?.netns, UPLINK);
            let [asked, answers] = [capture("node-b")?, capture("node-a")?];
            web.served(cluster, &Vantage::Outside, target, 1).await?;
            let to_client = |capture: Capture| {
                let is_answer = |packet: &CapturedPacket| packet.outgoing && packet.destination.ip() == client;
                let packets = capture.finish()?.into_iter().filter(is_answer);
                Ok::<_, anyhow::Error>(packets.map(|packet| packet.source).collect::<Vec<_>>())
            };
            let (by_asked, answers) = (to_client(asked)?, to_client(answers)?);
            ensure!(
                by_asked.is_empty(),
                "{target} itself answers, over {family}: {by_asked:?}"
            );
            ensure!(
                answers.len() >= 16 && answers.iter().all(|source| *source == target),
                "answers to {target} over {family}: {answers:?}"
            );
        }
    }
    Ok(())
}

/// A pod of one node, to which the other one's NodePort leads.
async fn on_node_a(cluster: &Cluster) -> Result<Deployed> {
    let families = cluster.testbed().spec().address_families();
    let web = Workload::named("web").replicas(1).on_node("node-a").node_port();
    let web = web.families(families.all()).deploy(cluster).await?;
    for &family in families.all() {
        let target = web.node_port_of(cluster, "node-b", family, TCP_PORT)?;
        web.served(cluster, &Vantage::Outside, target, 1).await?;
    }
    Ok(web)
}

/// TCP reaches the pod as the client sent it, UDP with the address of the node that was asked.
pub async fn hybrid_is_dsr_for_tcp_and_snat_for_udp(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "Hybrid", "Geneve").await?;
    let web = on_node_a(cluster).await?;
    let tcp = web.node_port(cluster, "node-b", TCP_PORT)?;
    seen_as(cluster, &Vantage::Outside, tcp, cluster.client_address()?).await?;
    let udp = web.node_port(cluster, "node-b", UDP_PORT)?;
    let tally = Vantage::Outside
        .udp(cluster, udp, UdpStyle::Unconnected, REQUESTS)
        .await?;
    ensure!(tally.answered() == REQUESTS, "{tally:?}");
    ensure!(tally.seen_as == [cluster.node_address("node-b")?].into(), "{tally:?}");
    Ok(())
}

/// A client on the backend's own node, the backend itself among them, asks another node: its answers would not pass that node's programs,
/// so such flows get SNAT, and all are answered.
pub async fn clients_of_the_backends_node_are_answered(cluster: &mut Cluster, dispatch: &str) -> Result<()> {
    install(cluster, "DSR", dispatch).await?;
    let web = on_node_a(cluster).await?;
    let outside = web.node_port(cluster, "node-b", TCP_PORT)?;
    seen_as(cluster, &Vantage::Outside, outside, cluster.client_address()?).await?;
    let neighbour = client_pod(cluster, "node-a").await?;
    for from in [
        Vantage::pod(&neighbour),
        Vantage::node("node-a"),
        Vantage::pod(&web.pod_on(cluster, "node-a").await?),
    ] {
        for port in [TCP_PORT, UDP_PORT] {
            let target = web.node_port(cluster, "node-b", port)?;
            web.served(cluster, &from, target, 1)
                .await
                .with_context(|| format!("{from}"))?;
        }
    }
    Ok(())
}

/// A pod that is the only backend reaches itself by the other node, too.
pub async fn a_pod_reaches_itself(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "DSR", "Geneve").await?;
    paths::a_pod_reaches_itself(cluster).await
}

/// A node without an agent takes no encapsulated packets: its pods get SNAT, and the other node says so. With an agent, it takes them.
pub async fn a_node_without_an_agent_gets_snat(cluster: &mut Cluster) -> Result<()> {
    install::crds(cluster).await?;
    cluster.start_operator().await?;
    cluster.start_agent("node-b").await?;
    let load_balancer = json!({"mode": "DSR"});
    install::create_policy(cluster, json!({"mode": "Strict", "loadBalancer": load_balancer})).await?;
    let web = on_node_a(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    seen_as(cluster, &Vantage::Outside, target, cluster.node_address("node-b")?).await?;
    let expected = "endpoints get SNAT on nodes that do not take encapsulated packets: node-a";
    dsr_ready(cluster, "node-b", "False", expected).await?;

    cluster.start_agent("node-a").await?;
    install::ready_node(cluster, "node-a").await?;
    seen_as(cluster, &Vantage::Outside, target, cluster.client_address()?).await?;
    let expected = "every node with endpoints takes encapsulated packets";
    dsr_ready(cluster, "node-b", "True", expected).await
}

/// Where the kernel would drop what comes by the CNI's tunnel (`rp_filter` 1), pods get SNAT, and both nodes say why; they get DSR as soon
/// as it lets such packets pass. For a cluster of shape `Vxlan` with a strict check.
pub async fn nodes_with_strict_tunnels_get_snat(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "DSR", "Geneve").await?;
    let web = on_node_a(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    let node_b = seen::behind_another_node_with(ForwardingMode::Snat, cluster, "node-b", Family::V4, Protocol::Tcp)?;
    seen_as(cluster, &Vantage::Outside, target, node_b).await?;
    let own = "this node's endpoints get SNAT, since rp_filter is 1 on flannel.1, and packets of clients outside would be dropped there: \
               set it to 2";
    dsr_ready(cluster, "node-a", "False", own).await?;
    let others = "endpoints get SNAT on nodes that do not take encapsulated packets: node-a";
    dsr_ready(cluster, "node-b", "False", &format!("{own}; {others}")).await?;

    for host in cluster.testbed().hosts() {
        host.netns.sysctl(&[("net.ipv4.conf.all.rp_filter", "2")])?;
    }
    seen_as(cluster, &Vantage::Outside, target, cluster.client_address()?).await?;
    let expected = "every node with endpoints takes encapsulated packets";
    dsr_ready(cluster, "node-b", "True", expected).await
}

/// Waits until a node's condition `DSRReady` says so.
async fn dsr_ready(cluster: &Cluster, node: &str, status: &str, message: &str) -> Result<()> {
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    eventually(&format!("{node} is DSRReady: {status}"), PATIENCE, || async {
        let found = nodes.get(node).await?.status.unwrap_or_default();
        let condition = conditions::find(&found.conditions, NodeCondition::DsrReady.as_str());
        let says = condition.is_some_and(|condition| condition.status == status && condition.message == message);
        Ok(if says { Ok(()) } else { Err(format!("{condition:?}")) })
    })
    .await
}

/// From SNAT to DSR, to Hybrid with another way to encapsulate, and back, under load and with connections open: no request is lost, and no
/// connection breaks.
pub async fn switching_the_mode_breaks_nothing(cluster: &mut Cluster) -> Result<()> {
    install::kpr(cluster).await?;
    let web = on_node_a(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    let (client, node_b) = (cluster.client_address()?, cluster.node_address("node-b")?);
    let load = Vantage::Outside.load(cluster, target, 2).await?;
    let mut held = Vec::new();
    for (mode, dispatch, seen) in [
        ("DSR", "Geneve", client),
        ("Hybrid", "IPIP", client),
        ("SNAT", "IPIP", node_b),
        ("DSR", "IPIP", client),
    ] {
        held.push(Vantage::Outside.hold(cluster, target, 5).await?);
        let load_balancer = json!({"mode": mode, "dsrDispatch": dispatch});
        install::patch_policy(cluster, json!({"loadBalancer": load_balancer})).await?;
        seen_as(cluster, &Vantage::Outside, target, seen)
            .await
            .with_context(|| mode.to_owned())?;
        sleep(TRAFFIC).await;
    }
    unbroken(held).await?;
    load.all_answered(50).await?;
    Ok(())
}

async fn unbroken(held: Vec<Holding>) -> Result<()> {
    for holding in held {
        holding.unbroken().await?;
    }
    Ok(())
}

/// Agents of both nodes are killed and come back: connections go on meanwhile, new ones are made, and pods see their client all along.
pub async fn killing_agents_breaks_nothing(cluster: &mut Cluster) -> Result<()> {
    install(cluster, "DSR", "Geneve").await?;
    let web = on_node_a(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    let client = cluster.client_address()?;
    seen_as(cluster, &Vantage::Outside, target, client).await?;
    let held = vec![Vantage::Outside.hold(cluster, target, 10).await?];
    let load = Vantage::Outside.load(cluster, target, 2).await?;
    let mut killed = Vec::new();
    for node in cluster.node_names() {
        let programming = restart::programming(cluster, &node).await?;
        cluster.kill_agent(&node).await?;
        killed.push((node, programming));
    }
    sleep(restart::WITHOUT_AGENT).await;
    by_dsr(cluster, target, client).await?;
    cluster.start_agents().await?;
    for (node, before) in &killed {
        let programming = restart::restarted(cluster, node, before).await?;
        ensure!(
            programming.map_writes == 0,
            "the agent of {node} wrote what had not changed: {programming:?}"
        );
        by_dsr(cluster, target, client).await?;
    }
    unbroken(held).await?;
    let tally = load.finish().await?;
    ensure!(tally.failed() == 0, "requests failed: {tally:?}");
    Ok(())
}

/// Every request is answered by a pod that sees the client itself.
async fn by_dsr(cluster: &Cluster, target: SocketAddr, client: IpAddr) -> Result<()> {
    let tally = Vantage::Outside.http(cluster, target, REQUESTS).await?;
    ensure!(tally.answered() == REQUESTS, "{tally:?}");
    ensure!(tally.seen_as == [client].into(), "{tally:?}");
    Ok(())
}
