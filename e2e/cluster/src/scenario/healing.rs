//! What somebody deletes of kpr's work on a node comes back by itself.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    Vantage, client_pod,
    probe::Probe,
    server_pods,
    service::{cluster_ip, create_service, node_port},
};
use crate::{
    cluster::{Cluster, eventually},
    inspect::{Traces, clear},
    testbed::Host,
};

/// A small node is checked every 30 seconds.
const PATIENCE: Duration = Duration::from_secs(75);

/// Upstream deletes the chains of iptables. Here the frontends are deleted from their map, and every pin of a program and of a map from
/// the BPF file system, which detaches the programs. All comes back without a restart, and `kpr status` says that it had to.
///
/// Upstream: "should recreate its iptables rules if they are deleted"
pub async fn what_is_deleted_by_hand_comes_back(cluster: &mut Cluster) -> Result<()> {
    let pods = ["web-1", "web-2", "web-3"];
    server_pods(
        cluster,
        "web",
        &[("web-1", "node-a"), ("web-2", "node-b"), ("web-3", "node-b")],
    )
    .await?;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let service = create_service(cluster, "web", spec).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let targets = [
        (&inside, cluster_ip(&service, 80)?),
        (&Vantage::Outside, node_port(cluster, &service, "node-a", "")?),
    ];
    for (from, target) in targets {
        Probe::tcp(cluster, from, target).answered_by(&pods).await?;
    }
    ensure!(
        repairs(cluster).await? == 0,
        "something was repaired before it was broken"
    );

    let host = cluster.testbed().host("node-a")?.clone();
    let before = tokio::task::spawn_blocking(move || break_it(&host)).await??;
    eventually("what was deleted is back", PATIENCE, || async {
        let host = cluster.testbed().host("node-a")?.clone();
        let now = tokio::task::spawn_blocking(move || traces(&host)).await??;
        let repairs = repairs(cluster).await?;
        Ok(if now == before && repairs > 0 {
            Ok(())
        } else {
            Err(format!("{repairs} repairs, there is {now:?}, there was {before:?}"))
        })
    })
    .await?;
    for (from, target) in targets {
        Probe::tcp(cluster, from, target).answered_by(&pods).await?;
    }
    Ok(())
}

/// Deletes frontends and pins, and returns what there was.
fn break_it(host: &Host) -> Result<Traces> {
    let before = traces(host)?;
    let frontends = before
        .pins
        .iter()
        .find(|pin| pin.file_name().is_some_and(|name| name == "SERVICES4"));
    let deleted = clear(frontends.context("no map of frontends is pinned")?)?;
    ensure!(deleted > 0, "there were no frontends");
    for pin in &before.pins {
        fs::remove_file(pin).with_context(|| format!("remove {}", pin.display()))?;
    }
    Ok(before)
}

/// What there is, in an order of its own.
fn traces(host: &Host) -> Result<Traces> {
    let mut traces = Traces::of(host)?;
    traces.programs.sort_unstable();
    traces.pins.sort_unstable();
    Ok(traces)
}

/// How often the agent of node-a had to repair something.
async fn repairs(cluster: &Cluster) -> Result<u64> {
    let output = cluster.kpr("node-a")?.args(["status", "-o", "json"]).output().await?;
    let status: Value = output.json()?;
    status["repairs"].as_u64().context("kpr status tells no repairs")
}
