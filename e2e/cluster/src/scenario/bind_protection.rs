//! `nodePort.bindProtection`: a port that a Service has is not for processes of the node.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    PATIENCE, POD_PORT, Probe, ServerPod, Vantage, client_pod, host_network_client, install,
    service::{create_service, delete_service},
};
use crate::cluster::{Cluster, eventually};

const NUMBER: u16 = 30_080;
const HOST_PORT: u16 = 8080;
const TAKEN: &str = "EADDRINUSE";

/// A Service with NodePort 30080/TCP, and its pod on node-a with hostPort 8080/TCP; both are served.
async fn serve(cluster: &Cluster) -> Result<()> {
    let pod = ServerPod::of("web", "web")
        .on_node("node-a")
        .host_port("tcp", POD_PORT, "TCP", HOST_PORT);
    pod.create(cluster).await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": NUMBER}]});
    create_service(cluster, "web", spec).await?;
    for port in [NUMBER, HOST_PORT] {
        let target = SocketAddr::new(cluster.node_address("node-a")?, port);
        Probe::tcp(cluster, &Vantage::Outside, target)
            .answered_by(&["web"])
            .await?;
    }
    Ok(())
}

/// Programs of the node, also in pods that share its namespace, cannot bind to the port, by whatever address and family.
/// Another protocol, another port and a pod's own namespace are free. When the Service goes, so is the port.
pub async fn a_served_port_cannot_be_bound_on_the_node(cluster: &mut Cluster) -> Result<()> {
    serve(cluster).await?;
    let own = cluster.node_address("node-a")?.to_string();
    let (node, pod) = (
        Vantage::node("node-a"),
        Vantage::pod(&client_pod(cluster, "node-a").await?),
    );
    let host_pod = Vantage::pod(&host_network_client(cluster, "node-a").await?);
    for (from, address, port, udp, expected) in [
        (&node, "0.0.0.0", NUMBER, false, Some(TAKEN)),
        (&node, own.as_str(), NUMBER, false, Some(TAKEN)),
        (&node, "127.0.0.1", NUMBER, false, Some(TAKEN)),
        (&node, "[::]", NUMBER, false, Some(TAKEN)),
        (&node, "0.0.0.0", HOST_PORT, false, Some(TAKEN)),
        (&node, own.as_str(), HOST_PORT, false, Some(TAKEN)),
        (&host_pod, "0.0.0.0", NUMBER, false, Some(TAKEN)),
        (&node, "0.0.0.0", NUMBER, true, None),
        (&node, "0.0.0.0", NUMBER + 1, false, None),
        (&node, "0.0.0.0", 0, false, None),
        (&pod, "0.0.0.0", NUMBER, false, None),
        (&pod, "0.0.0.0", HOST_PORT, false, None),
    ] {
        let address: SocketAddr = format!("{address}:{port}").parse()?;
        let error = from.bind(cluster, address, udp).await?;
        ensure!(error.as_deref() == expected, "{from}, {address}, UDP {udp}: {error:?}");
    }
    // On the other node the hostPort is nobody's.
    let free: SocketAddr = ([0, 0, 0, 0], HOST_PORT).into();
    let error = Vantage::node("node-b").bind(cluster, free, false).await?;
    ensure!(error.is_none(), "{error:?}");
    eventually("refusals are counted", PATIENCE, || async {
        let counted = counter(cluster, "node-a", "socket_bind_refused").await?;
        Ok(if counted == 7 {
            Ok(())
        } else {
            Err(format!("{counted} refusals"))
        })
    })
    .await?;

    delete_service(cluster, "web").await?;
    binds(cluster, "node-a", NUMBER, None).await
}

/// It can be switched off and on at run time.
pub async fn it_can_be_switched_off_and_on(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(
        cluster,
        json!({"mode": "Strict", "nodePort": {"bindProtection": false}}),
    )
    .await?;
    serve(cluster).await?;
    binds(cluster, "node-a", NUMBER, None).await?;
    for (protect, expected) in [(true, Some(TAKEN)), (false, None)] {
        install::patch_policy(cluster, json!({"nodePort": {"bindProtection": protect}})).await?;
        binds(cluster, "node-a", NUMBER, expected).await?;
    }
    Ok(())
}

/// Waits until a program of the node gets the port, or the error that is expected.
async fn binds(cluster: &Cluster, node: &str, port: u16, expected: Option<&str>) -> Result<()> {
    let address: SocketAddr = ([0, 0, 0, 0], port).into();
    eventually(&format!("{node} binds to {port}: {expected:?}"), PATIENCE, || async {
        let error = Vantage::node(node).bind(cluster, address, false).await?;
        Ok(if error.as_deref() == expected {
            Ok(())
        } else {
            Err(format!("{error:?}"))
        })
    })
    .await
}

async fn counter(cluster: &Cluster, node: &str, reason: &str) -> Result<u64> {
    let status: Value = cluster
        .kpr(node)?
        .args(["status", "-o", "json"])
        .output()
        .await?
        .json()?;
    let counters = status["counters"].as_array().context("no counters")?;
    let found = counters.iter().find(|counter| counter["reason"] == reason);
    found
        .and_then(|counter| counter["count"].as_u64())
        .context("no such counter")
}
