//! `kpr monitor`: what happens on a node, for as long as somebody listens.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    POD_PORT, Probe, TCP_PORT, Vantage, Workload, client_pod,
    service::{balance_load, create_service},
};
use crate::{
    cluster::{Cluster, eventually},
    process::Session,
};

const VIP: &str = "203.0.113.7";
/// Loading programs takes a second or two, and more on a machine that has other things to do.
const SWAPPED: Duration = Duration::from_mins(1);
/// The agent looks at its datapath every few seconds.
const SEEN: Duration = Duration::from_secs(30);
const QUICKLY: Duration = Duration::from_secs(20);

/// Somebody listens on a node, and sees a NodePort's flow, a socket that is led to a ClusterIP's backend, and a packet of a client outside a
/// LoadBalancer's source ranges, each with its Service. Connections go on meanwhile. When the listener is killed, the programs without
/// events are back.
pub async fn whoever_listens_sees_flows_and_drops_and_leaves_nothing_behind(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let (cluster_ip, node_port) = (web.cluster_ip(TCP_PORT)?, web.node_port(cluster, "node-a", TCP_PORT)?);
    web.served(cluster, &inside, cluster_ip, 2).await?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let few = json!({
        "type": "LoadBalancer",
        "selector": {"app": "web"},
        "loadBalancerSourceRanges": ["198.51.100.0/24"],
        "ports": [{"name": "few", "port": TCP_PORT, "targetPort": POD_PORT, "protocol": "TCP"}],
    });
    create_service(cluster, "few", few).await?;
    balance_load(cluster, "few", &[(VIP, "node-a")]).await?;
    let closed = SocketAddr::new(VIP.parse()?, TCP_PORT);
    Probe::tcp(cluster, &Vantage::Outside, closed).dropped().await?;
    ensure!(!tells(cluster).await?, "nobody listens yet");

    let held = Vantage::Outside.hold(cluster, node_port, 5).await?;
    let mut monitor = listen(cluster, &[]).await?;
    ensure!(tells(cluster).await?, "programs with events are attached");
    let mut drops = listen(cluster, &["--drops", "--service", "default/few"]).await?;

    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let flow = seen(&mut monitor, |event| {
        event["frontend"] == json!(node_port) && event["reason"].as_str().is_some_and(|r| r.starts_with("flow_to_"))
    })
    .await?;
    ensure!(
        flow["hook"] == "ingress"
            && flow["service"]
                .as_str()
                .is_some_and(|name| name.starts_with("default/web")),
        "{flow}"
    );
    ensure!(flow["client"].is_string() && flow["backend"].is_string(), "{flow}");

    web.served(cluster, &inside, cluster_ip, 2).await?;
    let led = seen(&mut monitor, |event| event["frontend"] == json!(cluster_ip)).await?;
    ensure!(
        led["hook"] == "connect" && led["reason"] == "socket_translated",
        "{led}"
    );
    ensure!(led["process"]["pid"].as_u64().is_some_and(|pid| pid > 0), "{led}");

    Probe::tcp(cluster, &Vantage::Outside, closed).dropped().await?;
    for listener in [&mut monitor, &mut drops] {
        let dropped = seen(listener, |event| event["frontend"] == json!(closed)).await?;
        ensure!(dropped["reason"] == "drop_source_range", "{dropped}");
        ensure!(dropped["service"] == "default/few:few", "{dropped}");
    }

    drops.kill().await?;
    ensure!(tells(cluster).await?, "one still listens");
    monitor.kill().await?;
    falls_silent(cluster).await?;
    held.unbroken().await?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await
}

/// The agent is killed while somebody listens: the listener hears of its end, and the agent that comes next has programs without events.
pub async fn an_agent_that_was_killed_comes_back_without_events(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let node_port = web.node_port(cluster, "node-a", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let mut monitor = listen(cluster, &[]).await?;
    cluster.kill_agent("node-a").await?;
    // What is attached goes on, whether anybody reads what it tells or not.
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    while monitor.next::<Value>(QUICKLY).await.is_ok() {}
    cluster.start_agent("node-a").await?;
    falls_silent(cluster).await?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await
}

/// `kpr monitor` on node-a, once everything is told.
async fn listen(cluster: &Cluster, arguments: &[&str]) -> Result<Session> {
    let launch = cluster.kpr("node-a")?.args(["monitor", "-o", "json"]).args(arguments);
    let mut session = launch.session().await?;
    loop {
        let line: Value = session.next(SWAPPED).await?;
        match line["type"].as_str() {
            Some("listening") => return Ok(session),
            Some("alive") => {}
            _ => anyhow::bail!("before anything is told: {line}"),
        }
    }
}

/// The next event that is this one. None may be lost.
async fn seen(session: &mut Session, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    loop {
        let line: Value = session.next(QUICKLY).await?;
        ensure!(line["type"] != "lost", "{line}");
        // Nothing came for seconds.
        ensure!(line["type"] != "alive", "what is awaited was not told");
        if line["type"] == "event" && is_it(&line) {
            return Ok(line);
        }
    }
}

/// Whether the programs of node-a tell what they do, as its agent has attached them.
async fn tells(cluster: &Cluster) -> Result<bool> {
    let listens = |status: &Value| {
        let features = status["kernel"]["features"].as_array();
        features.is_some_and(|all| {
            all.iter()
                .any(|one| one.as_str().is_some_and(|one| one.starts_with("events:")))
        })
    };
    let output = cluster.kpr("node-a")?.args(["status", "-o", "json"]).output().await?;
    Ok(listens(&serde_json::from_str(&output.stdout)?))
}

async fn falls_silent(cluster: &Cluster) -> Result<()> {
    eventually("programs without events", SEEN, async || {
        Ok(if tells(cluster).await? {
            Err("they still tell".to_owned())
        } else {
            Ok(())
        })
    })
    .await
}
