//! `loadBalancer.algorithm: Maglev`: nodes agree about where a flow goes.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{Deployed, TCP_PORT, Vantage, Workload, client_pod, install};
use crate::cluster::{Cluster, eventually};

/// How long a change may take to reach every node.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long traffic goes on after a change: long enough that a broken connection would be met.
const TRAFFIC: Duration = Duration::from_millis(500);
/// Flows that are compared: of three pods, nodes that choose by chance agree about all of them once in half a million times.
const FLOWS: u16 = 12;
const PODS: u32 = 3;

/// Whatever node a client outside asks, its flow goes to the same pod; and clients are spread over the pods.
pub async fn every_node_chooses_the_same_pod_for_a_flow(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(
        cluster,
        json!({"mode": "Strict", "loadBalancer": {"algorithm": "Maglev"}}),
    )
    .await?;
    let flows = Flows::deploy(cluster).await?;
    let mut met = BTreeSet::new();
    for _ in 0..3 {
        let [one, other] = flows.chosen(cluster).await?;
        ensure!(one == other, "by node-a: {one:?}; by node-b: {other:?}");
        met.extend(one);
    }
    ensure!(met.len() == PODS as usize, "some pod got nothing: {met:?}");
    Ok(())
}

/// From chance to Maglev and back, under load and with connections open: no request is lost, and no connection breaks.
pub async fn switching_the_algorithm_loses_nothing(cluster: &mut Cluster) -> Result<()> {
    install::kpr(cluster).await?;
    let flows = Flows::deploy(cluster).await?;
    let pod = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let targets = [
        (Vantage::Outside, flows.web.node_port(cluster, "node-a", TCP_PORT)?),
        (Vantage::Outside, flows.web.node_port(cluster, "node-b", TCP_PORT)?),
        (pod, flows.web.cluster_ip(TCP_PORT)?),
    ];
    let (mut loads, mut held) = (Vec::new(), Vec::new());
    for (from, target) in &targets {
        loads.push(from.load(cluster, *target, 2).await?);
    }
    for (algorithm, agree) in [("Maglev", true), ("Random", false), ("Maglev", true)] {
        for (from, target) in &targets {
            held.push(from.hold(cluster, *target, 5).await?);
        }
        install::patch_policy(cluster, json!({"loadBalancer": {"algorithm": algorithm}})).await?;
        let (cluster, flows) = (&*cluster, &flows);
        eventually(&format!("nodes choose by {algorithm}"), PATIENCE, || async move {
            let [one, other] = flows.chosen(cluster).await?;
            Ok(if (one == other) == agree {
                Ok(())
            } else {
                Err(format!("by node-a: {one:?}; by node-b: {other:?}"))
            })
        })
        .await?;
        sleep(TRAFFIC).await;
    }
    for load in loads {
        load.all_answered(50).await?;
    }
    for holding in held {
        holding.unbroken().await?;
    }
    Ok(())
}

/// A NodePort, and clients outside with ports of their own.
struct Flows {
    web: Deployed,
    /// The next port of the client: below those that the kernel chooses, and none twice, because a connection that is over still takes
    /// up both ends for a minute.
    port: AtomicU16,
}

impl Flows {
    async fn deploy(cluster: &Cluster) -> Result<Self> {
        let web = Workload::named("web")
            .replicas(PODS)
            .node_port()
            .deploy(cluster)
            .await?;
        for node in cluster.node_names() {
            let target = web.node_port(cluster, &node, TCP_PORT)?;
            web.served(cluster, &Vantage::Outside, target, PODS).await?;
        }
        Ok(Self {
            web,
            port: AtomicU16::new(20_000),
        })
    }

    /// The pods that answer some flows: through node-a, and the same flows through node-b.
    async fn chosen(&self, cluster: &Cluster) -> Result<[Vec<String>; 2]> {
        let first = self.port.fetch_add(FLOWS, Ordering::Relaxed);
        let mut chosen = [Vec::new(), Vec::new()];
        for (node, chosen) in ["node-a", "node-b"].into_iter().zip(&mut chosen) {
            let target = self.web.node_port(cluster, node, TCP_PORT)?;
            for port in first..first + FLOWS {
                let tally = Vantage::Outside.http_from(cluster, port, target).await?;
                ensure!(tally.answered() == 1, "{target} from port {port}: {tally:?}");
                chosen.extend(tally.answers.into_keys());
            }
        }
        Ok(chosen)
    }
}
