//! Flows whose backend goes: connections drain, datagrams move, and connections to what is gone for good are reset if asked.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use tokio::time::sleep;

use super::{
    POD_PORT, Probe, ServerPod, Vantage, client_pod, install, server_pods,
    service::{
        cluster_ip, create_labelled_service, create_service, create_slice, delete_service, node_port, patch_service,
        pod_ip,
    },
    terminate_pod,
};
use crate::{client::unix_ms, cluster::Cluster};

/// Connections at each place.
const COUNT: u32 = 20;
/// How long two connections talk beside each other.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long a datagram client may be without an answer once its Service has a ready backend again.
const LIMIT: Duration = Duration::from_secs(1);

/// Connections to a pod that terminates and goes on serving stay with it: over a NodePort of its own node and of another one, and
/// over the ClusterIP. New ones go to the pod that takes its place.
pub async fn connections_drain_on_a_terminating_pod(cluster: &mut Cluster) -> Result<()> {
    let old = ServerPod::of("web", "old")
        .on_node("node-b")
        .lingering()
        .create(cluster)
        .await?;
    let service = create_service(cluster, "web", json!({"type": "NodePort", "ports": [{"port": 80}]})).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let ways = [
        (&Vantage::Outside, node_port(cluster, &service, "node-b", "")?),
        (&Vantage::Outside, node_port(cluster, &service, "node-a", "")?),
        (&inside, cluster_ip(&service, 80)?),
    ];
    let mut connections = Vec::new();
    for (from, target) in ways {
        Probe::tcp(cluster, from, target).answered_by(&["old"]).await?;
        let open = from.flows(cluster, target, false, COUNT).await?;
        ensure!(open.first.answered == COUNT, "{from} to {target}: {:?}", open.first);
        connections.push(open);
    }
    ServerPod::of("web", "new").on_node("node-b").create(cluster).await?;
    terminate_pod(cluster, &old).await?;
    for (from, target) in ways {
        Probe::tcp(cluster, from, target).answered_by(&["new"]).await?;
    }
    for (open, (from, target)) in connections.into_iter().zip(ways) {
        let again = open.again().await?;
        ensure!(
            again.answered == COUNT && again.moved == 0,
            "{from} to {target}: {again:?}"
        );
    }
    Ok(())
}

/// One port of a client for a connection to a pod and for one to the NodePort of its node: the pod sees the client's own address in
/// either case, and yet both work, whichever is first, beside each other and one after the other.
pub async fn the_same_client_port_to_a_pod_and_to_its_node_port(cluster: &mut Cluster) -> Result<()> {
    let pod = ServerPod::of("web", "web").on_node("node-b").create(cluster).await?;
    let service = create_service(cluster, "web", json!({"type": "NodePort", "ports": [{"port": 80}]})).await?;
    let through = node_port(cluster, &service, "node-b", "")?;
    let itself = SocketAddr::new(pod_ip(&pod)?, POD_PORT);
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    Probe::tcp(cluster, &from, through).answered_by(&["web"]).await?;
    for (port, first, second, together) in [
        (40_001, itself, through, true),
        (40_002, through, itself, true),
        (40_003, itself, through, false),
        (40_004, through, itself, false),
    ] {
        let name = format!("from {port} to {first}, then to {second}, together: {together}");
        let hold = async |target| {
            from.hold_from(cluster, port, target)
                .await
                .with_context(|| name.clone())
        };
        let one = hold(first).await?;
        let (one, other) = if together {
            let other = hold(second).await?;
            sleep(TOGETHER).await;
            (one.finish().await?, other.finish().await?)
        } else {
            let one = one.finish().await?;
            let other = hold(second).await?;
            sleep(TOGETHER).await;
            (one, other.finish().await?)
        };
        ensure!(one.broken.is_empty(), "{name}: {one:?}");
        ensure!(other.broken.is_empty() && other.exchanges >= 5, "{name}: {other:?}");
    }
    Ok(())
}

/// One datagram flow through a NodePort goes on, on the same socket, while its Service is deleted and made again with another pod, and
/// while the Service has no endpoint in between.
pub async fn datagrams_follow_their_service(cluster: &mut Cluster) -> Result<()> {
    server_pods(cluster, "one", &[("one", "node-b")]).await?;
    server_pods(cluster, "two", &[("two", "node-b")]).await?;
    let spec = |app: &str| {
        let port = json!({"port": 80, "protocol": "UDP", "nodePort": 31_999});
        json!({"type": "NodePort", "selector": {"app": app}, "ports": [port]})
    };
    let service = create_service(cluster, "dns", spec("one")).await?;
    let target = node_port(cluster, &service, "node-a", "")?;
    let probe = Probe::udp(cluster, &Vantage::Outside, target);
    probe.answered_by(&["one"]).await?;
    let client = Vantage::Outside.udp_hold(cluster, target).await?;

    delete_service(cluster, "dns").await?;
    probe.unanswered().await?;
    create_service(cluster, "dns", spec("two")).await?;
    probe.answered_by(&["two"]).await?;
    let two = unix_ms();
    sleep(LIMIT).await;

    patch_service(cluster, "dns", json!({"selector": {"app": "nobody"}})).await?;
    probe.unanswered().await?;
    patch_service(cluster, "dns", json!({"selector": {"app": "one"}})).await?;
    probe.answered_by(&["one"]).await?;
    sleep(LIMIT).await;

    let held = client.finish().await?;
    let [socket] = &held.sockets[..] else {
        anyhow::bail!("nothing happens to sockets outside the cluster: {held:?}");
    };
    ensure!(socket.end.is_none(), "{held:?}");
    let first = socket.first_ms.get("two");
    let limit = two + u64::try_from(LIMIT.as_millis())?;
    ensure!(first.is_some_and(|first| *first <= limit), "ready by {two}: {held:?}");
    Ok(())
}

/// With `socketLB.terminateStaleTCP` connections that a Service led to an endpoint are reset when that is gone; those that were made to
/// the pod itself go on. For a cluster without kpr.
pub async fn connections_to_a_gone_endpoint_are_reset_if_asked(cluster: &mut Cluster) -> Result<()> {
    let spec = json!({"mode": "Strict", "socketLB": {"terminateStaleTCP": true}});
    install::kpr_with(cluster, spec).await?;
    // The pod goes on: what happens to connections to it is kpr's doing alone.
    let pod = ServerPod::of("web", "web").on_node("node-b").create(cluster).await?;
    let spec = json!({"ports": [{"name": "http", "port": 80}]});
    let service = create_labelled_service(cluster, "by-hand", json!({}), spec).await?;
    let ports = json!([{"name": "http", "port": POD_PORT, "protocol": "TCP"}]);
    create_slice(cluster, "by-hand", "by-hand-1", ports, &[&pod]).await?;

    let (led, direct) = (cluster_ip(&service, 80)?, (pod_ip(&pod)?, POD_PORT).into());
    let places = [
        Vantage::pod(&client_pod(cluster, "node-a").await?),
        Vantage::node("node-a"),
    ];
    let mut connections = Vec::new();
    for from in &places {
        Probe::tcp(cluster, from, led).answered_by(&["web"]).await?;
        connections.push((
            from.flows(cluster, led, false, COUNT).await?,
            from.flows(cluster, direct, false, COUNT).await?,
        ));
    }
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    slices.delete("by-hand-1", &DeleteParams::default()).await?;
    for from in &places {
        Probe::tcp(cluster, from, led).refused().await?;
    }
    sleep(LIMIT).await;
    let reset = BTreeMap::from([("ECONNABORTED".to_owned(), COUNT)]);
    for ((led, direct), from) in connections.into_iter().zip(&places) {
        ensure!(led.first.answered == COUNT && direct.first.answered == COUNT);
        let (led, direct) = (led.again().await?, direct.again().await?);
        ensure!(led.failures == reset, "led by the Service, from {from}: {led:?}");
        ensure!(
            direct.answered == COUNT,
            "not led by a Service, from {from}: {direct:?}"
        );
    }
    Ok(())
}
