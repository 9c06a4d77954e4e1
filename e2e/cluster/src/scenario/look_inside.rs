//! `kpr` on a node tells what that node does, and with or without its agent.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    TCP_PORT, UDP_PORT, Vantage, Workload, dump,
    exit_codes::{NOT_FOUND, UNREACHABLE},
};
use crate::{
    cluster::{Cluster, eventually},
    process::Output,
};

/// The node that is looked into.
const NODE: &str = "node-a";
/// Connections that are open meanwhile: with so many, both backends have some.
const CONNECTIONS: u16 = 8;
/// Where they come from: this port and the next ones.
const FIRST_PORT: u16 = 41_000;
/// How long it may take until a client that is answered by nobody sees it.
const PATIENCE: Duration = Duration::from_secs(20);

/// With 8 connections from outside through a NodePort to pods on both nodes, and a client that sticks to its backend: what each command
/// says is so, and it says the same once the agent is dead, but for names. A flow that is flushed breaks its connection, and no other.
pub async fn kpr_tells_what_its_node_does_with_or_without_an_agent(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let sticky = Workload::named("sticky")
        .node_port()
        .client_ip_affinity()
        .deploy(cluster)
        .await?;
    let node_port = web.node_port(cluster, NODE, TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let stuck = sticky.node_port(cluster, NODE, TCP_PORT)?;
    eventually("the client with affinity is answered", PATIENCE, || async {
        let tally = Vantage::Outside.http(cluster, stuck, 1).await?;
        Ok(if tally.failed() == 0 {
            Ok(())
        } else {
            Err(format!("{tally:?}"))
        })
    })
    .await?;
    let mut held = Vec::new();
    for port in FIRST_PORT..FIRST_PORT + CONNECTIONS {
        held.push((port, Vantage::Outside.hold_from(cluster, port, node_port).await?));
    }

    let by_name = json(cluster, &["service", "get", "default/web"]).await?;
    let kinds = texts(&by_name, "serviceType");
    ensure!(
        kinds == ["ClusterIP", "ClusterIP", "NodePort", "NodePort"],
        "of each kind one for TCP and one for UDP: {by_name}"
    );
    ensure!(
        texts(&by_name, "portName") == ["echo", "echo", "http", "http"],
        "{by_name}"
    );
    let listed = kpr(cluster, &["service", "list", "-o", "wide"]).await?.success()?;
    ensure!(listed.contains("default/sticky:http"), "{listed}");

    told_by_maps(cluster, &web, node_port).await?;
    let client = SocketAddr::new(cluster.client_address()?, FIRST_PORT).to_string();
    dump::every_part_is_there_and_no_secret(cluster, NODE, &client).await?;
    cluster.kill_agent(NODE).await?;
    told_by_maps(cluster, &web, node_port).await?;
    names_need_the_agent(cluster).await?;

    // The first of them, whichever backend it has.
    let [flushed, others @ ..] = held.as_slice() else {
        unreachable!()
    };
    let client = SocketAddr::new(cluster.client_address()?, flushed.0).to_string();
    let removed = json(cluster, &["conntrack", "flush", "--client", &client]).await?;
    ensure!(removed["flows"] == 1 && removed["entries"] == 2, "{removed}");
    let left = others.len();
    eventually("only the flows that were not flushed are there", PATIENCE, || async {
        let flows = flows(cluster, node_port).await?;
        Ok(if flows.len() == left {
            Ok(())
        } else {
            Err(format!("{flows:?}"))
        })
    })
    .await?;
    // The client can't have two connections of one tuple: once it has a new one, it has met the end of the old one.
    eventually("the client's port is free for a new connection", PATIENCE, || async {
        let tally = Vantage::Outside.http_from(cluster, FIRST_PORT, node_port).await?;
        Ok(if tally.failed() == 0 {
            Ok(())
        } else {
            Err(format!("{tally:?}"))
        })
    })
    .await?;
    for (port, holding) in held {
        let report = holding.finish().await?;
        let is_broken = !report.broken.is_empty();
        ensure!(is_broken == (port == FIRST_PORT), "port {port}: {report:?}");
    }
    Ok(())
}

/// What pinned maps tell.
async fn told_by_maps(cluster: &Cluster, web: &super::Deployed, node_port: SocketAddr) -> Result<()> {
    let pods = [
        web.pod_on(cluster, "node-a").await?,
        web.pod_on(cluster, "node-b").await?,
    ];
    let [here, there] = pods.map(|pod| super::service::pod_ip(&pod));
    let (here, there) = (SocketAddr::new(here?, TCP_PORT), SocketAddr::new(there?, TCP_PORT));

    let backends = json(cluster, &["backend", "list"]).await?;
    for (address, is_local) in [(here, true), (there, false)] {
        let backend = with(&backends, "address", &address.to_string())?;
        ensure!(
            backend["local"] == is_local && backend["state"] == "active" && backend["frontends"] == 2,
            "{backend}"
        );
    }

    let cluster_ip = web.cluster_ip(UDP_PORT)?.to_string();
    let found = json(cluster, &["service", "get", &format!("{cluster_ip}/UDP")]).await?;
    ensure!(texts(&found, "frontend") == [cluster_ip], "{found}");

    let flows = flows(cluster, node_port).await?;
    ensure!(flows.len() == usize::from(CONNECTIONS), "{flows:?}");
    for flow in &flows {
        ensure!(flow["state"] == "established" && flow["half"] == false, "{flow}");
        let way = if flow["backend"] == here.to_string() {
            ("local", false)
        } else {
            ensure!(flow["backend"] == there.to_string(), "{flow}");
            ("SNAT", true)
        };
        ensure!(
            (flow["via"].as_str(), flow.get("source").is_some()) == (Some(way.0), way.1),
            "{flow}"
        );
    }
    let page = kpr(cluster, &["conntrack", "list", "--limit", "3"]).await?.success()?;
    ensure!(page.starts_with("Proto ") && page.lines().count() == 4, "{page}");

    let clients = json(cluster, &["affinity", "list"]).await?;
    let client = with(&clients, "client", &cluster.client_address()?.to_string())?;
    let seconds = client["expiresInSeconds"].as_u64().unwrap_or_default();
    ensure!(
        (1..=10_800).contains(&seconds) && client.get("backend").is_some(),
        "{client}"
    );

    let maps = json(cluster, &["maps"]).await?;
    let map = with(&maps, "name", "FLOWS4")?;
    let entries = map["entries"].as_u64().unwrap_or_default();
    ensure!(entries >= 2 * u64::from(CONNECTIONS), "{map}");
    ensure!(
        map["kind"] == "lru_hash" && map["memoryBytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "{map}"
    );
    Ok(())
}

/// Without its agent, a node knows addresses and no names, and says so.
async fn names_need_the_agent(cluster: &Cluster) -> Result<()> {
    for (arguments, code, words) in [
        (
            &["service", "get", "default/web"][..],
            UNREACHABLE,
            "by its address or id",
        ),
        (&["service", "list", "-o", "wide"], 0, "names of Services are left out"),
        (
            &["service", "get", "192.0.2.1:80"],
            NOT_FOUND,
            "no such frontend on this node",
        ),
        (&["status"], UNREACHABLE, ""),
    ] {
        let output = kpr(cluster, arguments).await?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {output:?}");
        ensure!(output.stderr.contains(words), "{arguments:?}: {output:?}");
    }
    Ok(())
}

/// The flows of the connections that are held.
async fn flows(cluster: &Cluster, frontend: SocketAddr) -> Result<Vec<Value>> {
    let frontend = frontend.to_string();
    let listed = json(
        cluster,
        &["conntrack", "list", "--proto", "tcp", "--frontend", &frontend],
    )
    .await?;
    let is_held = |flow: &Value| {
        let client: Option<SocketAddr> = flow["client"].as_str().and_then(|client| client.parse().ok());
        client.is_some_and(|client| (FIRST_PORT..FIRST_PORT + CONNECTIONS).contains(&client.port()))
    };
    let flows = listed.as_array().context("a list")?;
    Ok(flows.iter().filter(|flow| is_held(flow)).cloned().collect())
}

async fn kpr(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    cluster.kpr(NODE)?.args(arguments).output().await
}

async fn json(cluster: &Cluster, arguments: &[&str]) -> Result<Value> {
    cluster.kpr_json(NODE, arguments).await
}

/// What stands in this field of each, in order.
fn texts(list: &Value, field: &str) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    let mut texts: Vec<_> = all.filter_map(|one| one[field].as_str().map(str::to_owned)).collect();
    texts.sort_unstable();
    texts
}

/// The one that has this.
fn with<'v>(list: &'v Value, field: &str, text: &str) -> Result<&'v Value> {
    let mut all = list.as_array().into_iter().flatten();
    all.find(|one| one[field] == text)
        .with_context(|| format!("none with {field} {text}: {list}"))
}
