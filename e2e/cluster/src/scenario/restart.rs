//! The agent's death and return.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kpr_crds::Programming;
use serde_json::Value;
use tokio::time::sleep;

use super::{TCP_PORT, Vantage, Workload, client_pod, install};
use crate::cluster::{Cluster, eventually};

/// How long traffic runs without an agent.
pub(super) const WITHOUT_AGENT: Duration = Duration::from_secs(1);
/// Connections that must survive, from inside and from outside together.
const CONNECTIONS: u32 = 50;

/// `kill -9` of every agent under 50 connections, from a pod to the ClusterIP and from outside to a NodePort: none
/// breaks, new ones work all the time, and the restarted agents write nothing, because nothing has changed.
pub async fn killing_agents_breaks_nothing(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let cluster_ip = web.cluster_ip(TCP_PORT)?;
    // Through node-b, so that some go to its own pod and some, translated, to node-a's.
    let node_port = web.node_port(cluster, "node-b", TCP_PORT)?;
    web.served(cluster, &inside, cluster_ip, 2).await?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let mut killed = Vec::new();
    for node in cluster.node_names() {
        let programming = programming(cluster, &node).await?;
        killed.push((node, programming));
    }

    let held = [
        inside.hold(cluster, cluster_ip, CONNECTIONS / 2).await?,
        Vantage::Outside.hold(cluster, node_port, CONNECTIONS / 2).await?,
    ];
    let loads = [
        inside.load(cluster, cluster_ip, 2).await?,
        Vantage::Outside.load(cluster, node_port, 2).await?,
    ];
    for (node, _) in &killed {
        cluster.kill_agent(node).await?;
    }
    sleep(WITHOUT_AGENT).await;
    cluster.start_agents().await?;
    for (node, before) in &killed {
        restarted(cluster, node, before).await?;
    }
    // Long enough that a write which comes only some time after the first report would be seen, too.
    sleep(WITHOUT_AGENT).await;
    for (node, before) in &killed {
        let programming = restarted(cluster, node, before).await?;
        ensure!(
            programming.map_writes == 0,
            "the agent of {node} wrote what had not changed: {programming:?}"
        );
        ensure!(
            programming.failures == 0,
            "the agent of {node} failed to write: {programming:?}"
        );
    }

    for load in loads {
        let tally = load.finish().await?;
        ensure!(tally.failed() == 0, "new connections failed: {tally:?}");
        ensure!(tally.answered() >= 50, "too few new connections to tell: {tally:?}");
    }
    for holding in held {
        let report = holding.unbroken().await?;
        // At 20 ms per exchange, a connection that had hung while the agent was away would have far fewer.
        ensure!(report.fewest_exchanges >= 20, "a connection hung: {report:?}");
    }

    // The count counts: a change shows in it.
    web.scale(cluster, 3).await?;
    web.served(cluster, &inside, cluster_ip, 3).await?;
    let cluster = &*cluster;
    eventually("the change is counted", Duration::from_secs(30), || async {
        let status = install::ready_node(cluster, "node-a").await?.status.unwrap_or_default();
        let writes = status.programming.map_or(0, |programming| programming.map_writes);
        Ok(if writes > 0 {
            Ok(())
        } else {
            Err(format!("{writes} writes"))
        })
    })
    .await
}

/// What a restarted agent says of itself on `node`, once everything is programmed.
pub(super) async fn in_sync(cluster: &Cluster, node: &str) -> Result<Value> {
    eventually(
        &format!("the restarted agent of {node} serves"),
        super::PATIENCE,
        || async {
            let status = cluster.kpr_json(node, &["status"]).await.unwrap_or_default();
            Ok(if status["phase"] == "Active" {
                Ok(status)
            } else {
                Err(format!("{status}"))
            })
        },
    )
    .await
}

/// What the agent of `node` has written since it started.
pub(super) async fn programming(cluster: &Cluster, node: &str) -> Result<Programming> {
    let status = install::ready_node(cluster, node).await?.status;
    status.and_then(|status| status.programming).context("no write count")
}

/// What the agent of `node` has written, once it is in sync and is not the one that reported `before`. Times in the API are cut
/// to whole seconds, and an agent that was down for [`WITHOUT_AGENT`] cannot start in the second in which the one before did.
pub(super) async fn restarted(cluster: &mut Cluster, node: &str, before: &Programming) -> Result<Programming> {
    cluster.check_programs()?;
    let cluster = &*cluster;
    eventually(
        &format!("the restarted agent of {node} reports"),
        Duration::from_secs(30),
        || async {
            let programming = programming(cluster, node).await?;
            Ok(if programming.started_at > before.started_at {
                Ok(programming)
            } else {
                Err(format!("{programming:?}"))
            })
        },
    )
    .await
}

/// After a restart the agent follows changes again, also those that it has missed.
pub async fn a_restarted_agent_catches_up(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    let from = Vantage::node("node-a");
    let target = web.cluster_ip(TCP_PORT)?;
    web.served(cluster, &from, target, 2).await?;
    cluster.kill_agent("node-a").await?;
    web.scale(cluster, 3).await?;
    web.ready_pods(cluster, 3).await?;
    cluster.start_agent("node-a").await?;
    web.served(cluster, &from, target, 3).await
}

/// SIGTERM ends the agent and leaves the datapath forwarding, as a DaemonSet's rollout needs.
pub async fn a_stopped_agent_leaves_the_datapath_forwarding(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let target = web.node_port(cluster, "node-a", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, target, 2).await?;
    cluster.stop_agent("node-a").await?;
    let tally = Vantage::Outside.http(cluster, target, 50).await?;
    ensure!(tally.answered() == 50, "requests failed without an agent: {tally:?}");
    Ok(())
}
