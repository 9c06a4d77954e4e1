//! UDP clients with a connected socket, whose backend goes and comes back. Titles in quotes are those of Kubernetes' own tests
//! (`test/e2e/network/conntrack.go`), which allow a minute; here it is a second.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use serde_json::json;
use tokio::time::sleep;

use super::{Deployed, UDP_PORT, UdpHolding, Vantage, Workload, client_pod, install, set_ready};
use crate::{
    client::{UdpHeld, UdpLife, unix_ms},
    cluster::{Cluster, eventually},
};

/// How long a client may be without an answer once its Service has a ready backend again.
const LIMIT: Duration = Duration::from_secs(1);

/// What a program sees of a socket that was closed under it: the one if it receives next, the other if it sends. No ICMP error
/// and no dead server says either.
const CLOSED: [&str; 2] = ["ECONNABORTED", "EDESTADDRREQ"];

/// One pod on node-b, away from most clients: its end makes no noise that a client's socket would hear.
fn server() -> Workload {
    Workload::named("web").replicas(1).on_node("node-b")
}

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a NodePort service"
pub async fn server_pod_cycles_for_a_node_port_service(cluster: &mut Cluster) -> Result<()> {
    let web = server().node_port().deploy(cluster).await?;
    let target = web.node_port(cluster, "node-a", UDP_PORT)?;
    let (held, new, ready) = cycle(cluster, &web, &Vantage::Outside, target).await?;
    let [socket] = &held.sockets[..] else {
        anyhow::bail!("nothing happens to sockets outside the cluster: {held:?}");
    };
    ensure!(socket.end.is_none(), "the socket broke: {held:?}");
    in_time(socket.first_ms.get(&new).copied(), ready, &held)
}

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service"
pub async fn server_pod_cycles_for_a_cluster_ip_service(cluster: &mut Cluster) -> Result<()> {
    let web = server().deploy(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let outcome = cycle(cluster, &web, &from, web.cluster_ip(UDP_PORT)?).await?;
    closed_and_back(&outcome)
}

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service with InternalTrafficPolicy set to
/// Local"
pub async fn server_pod_cycles_for_a_cluster_ip_service_with_internal_traffic_policy_local(
    cluster: &mut Cluster,
) -> Result<()> {
    let web = server().internal_local().deploy(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let outcome = cycle(cluster, &web, &from, web.cluster_ip(UDP_PORT)?).await?;
    closed_and_back(&outcome)
}

/// Upstream: "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service and client is hostNetwork"
pub async fn server_pod_cycles_for_a_cluster_ip_service_and_client_is_host_network(
    cluster: &mut Cluster,
) -> Result<()> {
    let web = server().deploy(cluster).await?;
    let outcome = cycle(cluster, &web, &Vantage::node("node-a"), web.cluster_ip(UDP_PORT)?).await?;
    closed_and_back(&outcome)
}

/// Upstream: "should be able to preserve UDP traffic when initial unready endpoints get ready"
pub async fn initial_unready_endpoints_get_ready(cluster: &mut Cluster) -> Result<()> {
    let web = server().deploy(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let target = web.cluster_ip(UDP_PORT)?;
    let pod = web.pod_on(cluster, "node-b").await?;
    set_ready(cluster, &pod, false).await?;
    not_served(cluster, &from, target).await?;

    let client = from.udp_hold(cluster, target).await?;
    set_ready(cluster, &pod, true).await?;
    let (held, ready) = a_moment_after(cluster, &web, client).await?;
    ensure!(held.not_connected.contains_key("ECONNREFUSED"), "{held:?}");
    let socket = held.sockets.last().context("the client never connected")?;
    in_time(socket.first_ms.get(&pod.name_any()).copied(), ready, &held)
}

/// A pod that becomes unready and goes on answering loses the clients that a Service led to it, in pods and on nodes, and keeps
/// those that were connected to its own address.
pub async fn sockets_that_no_service_led_are_not_touched(cluster: &mut Cluster) -> Result<()> {
    let web = server().deploy(cluster).await?;
    let target = web.cluster_ip(UDP_PORT)?;
    let pod = web.pod_on(cluster, "node-b").await?;
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let direct = SocketAddr::new(address.context("the pod has no address")?.parse()?, UDP_PORT);
    let places = [
        Vantage::pod(&client_pod(cluster, "node-a").await?),
        Vantage::node("node-a"),
    ];
    let mut clients = Vec::new();
    for from in &places {
        web.served(cluster, from, target, 1).await?;
        clients.push((
            from.udp_hold(cluster, target).await?,
            from.udp_hold(cluster, direct).await?,
        ));
    }

    set_ready(cluster, &pod, false).await?;
    for from in &places {
        not_served(cluster, from, target).await?;
    }
    sleep(LIMIT).await;
    for (led, direct) in clients {
        let (led, direct) = (led.finish().await?, direct.finish().await?);
        let [closed] = &led.sockets[..] else {
            anyhow::bail!("led by the Service: {led:?}");
        };
        ensure!(was_closed(closed), "led by the Service: {led:?}");
        ensure!(led.not_connected.contains_key("ECONNREFUSED"), "{led:?}");
        let [socket] = &direct.sockets[..] else {
            anyhow::bail!("not led by a Service: {direct:?}");
        };
        ensure!(socket.end.is_none(), "not led by a Service: {direct:?}");
        // At 50 ms per answer; the socket that was closed at once had fewer.
        ensure!(socket.answers >= 20, "{direct:?}");
        ensure!(closed.answers < socket.answers, "{led:?} {direct:?}");
    }
    Ok(())
}

/// Sockets whose backend goes while no agent runs are closed by the agent that starts next.
pub async fn a_restarted_agent_closes_what_became_stale_without_it(cluster: &mut Cluster) -> Result<()> {
    let web = server().deploy(cluster).await?;
    let target = web.cluster_ip(UDP_PORT)?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    web.served(cluster, &from, target, 1).await?;
    let client = from.udp_hold(cluster, target).await?;
    cluster.kill_agent("node-a").await?;
    let pod = web.pod_on(cluster, "node-b").await?;
    set_ready(cluster, &pod, false).await?;
    not_served(cluster, &Vantage::node("node-b"), target).await?;
    cluster.start_agent("node-a").await?;
    not_served(cluster, &from, target).await?;
    sleep(LIMIT).await;
    let held = client.finish().await?;
    ensure!(held.sockets.len() == 1 && was_closed(&held.sockets[0]), "{held:?}");
    Ok(())
}

/// With `socketLB.terminateStaleSockets: false` the same socket goes on with the pod that its Service has given up. For a cluster
/// without kpr.
pub async fn sockets_are_left_open_if_asked(cluster: &mut Cluster) -> Result<()> {
    let spec = json!({"mode": "Strict", "socketLB": {"terminateStaleSockets": false}});
    install::kpr_with(cluster, spec).await?;
    let web = server().deploy(cluster).await?;
    let target = web.cluster_ip(UDP_PORT)?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    web.served(cluster, &from, target, 1).await?;
    let client = from.udp_hold(cluster, target).await?;
    set_ready(cluster, &web.pod_on(cluster, "node-b").await?, false).await?;
    not_served(cluster, &from, target).await?;
    sleep(LIMIT).await;
    let held = client.finish().await?;
    ensure!(held.sockets.len() == 1 && held.sockets[0].end.is_none(), "{held:?}");
    ensure!(held.not_connected.is_empty(), "{held:?}");
    Ok(())
}

/// What a client saw, the name of the pod that came, and when it was ready (milliseconds since 1970).
type Cycled = (UdpHeld, String, u64);

/// Scales the only backend down and up under a client.
async fn cycle(cluster: &Cluster, web: &Deployed, from: &Vantage, target: SocketAddr) -> Result<Cycled> {
    web.served(cluster, from, target, 1).await?;
    let old = web.pod_on(cluster, "node-b").await?.name_any();
    let client = from.udp_hold(cluster, target).await?;
    web.scale(cluster, 0).await?;
    web.ready_pods(cluster, 0).await?;
    web.scale(cluster, 1).await?;
    let (held, ready) = a_moment_after(cluster, web, client).await?;
    let new = web.pod_on(cluster, "node-b").await?.name_any();
    let first = held.sockets.first().context("the client never connected")?;
    ensure!(
        first.first_ms.contains_key(&old),
        "the old pod never answered: {held:?}"
    );
    Ok((held, new, ready))
}

/// Ends the client as long after its backend is ready as it may take to notice.
async fn a_moment_after(cluster: &Cluster, web: &Deployed, client: UdpHolding) -> Result<(UdpHeld, u64)> {
    web.ready_pods(cluster, 1).await?;
    let ready = unix_ms();
    sleep(LIMIT).await;
    Ok((client.finish().await?, ready))
}

/// The first socket was closed by kpr, and nothing else happened to it; the next one found the new backend in time.
fn closed_and_back((held, new, ready): &Cycled) -> Result<()> {
    let [closed, back] = &held.sockets[..] else {
        anyhow::bail!("there should be one socket before and one after: {held:?}");
    };
    ensure!(was_closed(closed), "{held:?}");
    ensure!(back.end.is_none(), "{held:?}");
    let answered: BTreeSet<_> = back.first_ms.keys().collect();
    ensure!(answered == [new].into(), "{held:?}");
    in_time(back.first_ms.get(new).copied(), *ready, held)
}

fn was_closed(socket: &UdpLife) -> bool {
    socket.end.as_deref().is_some_and(|end| CLOSED.contains(&end))
}

fn in_time(first_ms: Option<u64>, ready: u64, held: &UdpHeld) -> Result<()> {
    let first = first_ms.with_context(|| format!("the new pod never answered: {held:?}"))?;
    let limit = u64::try_from(LIMIT.as_millis())?;
    ensure!(
        first <= ready + limit,
        "ready at {ready}, first answer at {first}: {held:?}"
    );
    Ok(())
}

/// Waits until nobody answers at `target`.
async fn not_served(cluster: &Cluster, from: &Vantage, target: SocketAddr) -> Result<()> {
    eventually(
        &format!("nobody answers at {target} to {from}"),
        Duration::from_secs(20),
        || async {
            let tally = from.probe(cluster, target, true).await?;
            Ok(if tally.answered() == 0 {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        },
    )
    .await
}
