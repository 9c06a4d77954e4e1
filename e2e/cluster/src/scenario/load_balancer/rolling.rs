//! Rolling updates under traffic.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{ADDRESS, SECOND_ADDRESS, balancer};
use crate::{
    cluster::Cluster,
    scenario::{
        ServerPod, Vantage, kill_pod,
        probe::Probe,
        service::{balance_load, create_service},
        terminate_pod,
    },
};

/// How often every pod is replaced, as upstream does.
const UPDATES: usize = 5;
/// Requests at a time, to each address.
const PARALLEL: u32 = 4;
/// The addresses of the load balancer, with the node that each leads to.
const LEADS: [(&str, &str); 2] = [(ADDRESS, "node-a"), (SECOND_ADDRESS, "node-b")];

/// Upstream lets 5 % of the requests fail; here none may.
///
/// Upstream: "should not have connectivity disruption during rolling update with externalTrafficPolicy=Cluster"
pub async fn rolling_update_with_policy_cluster_fails_no_request(cluster: &mut Cluster) -> Result<()> {
    rolling_update(cluster, "Cluster").await
}

/// Between an old pod's end and its successor's start a node has no ready endpoint, and the terminating one goes on. Upstream's load
/// balancer has turned to another node by then, which makes it easier.
///
/// Upstream: "should not have connectivity disruption during rolling update with externalTrafficPolicy=Local"
pub async fn rolling_update_with_policy_local_fails_no_request(cluster: &mut Cluster) -> Result<()> {
    rolling_update(cluster, "Local").await
}

/// A pod on each node, as a DaemonSet has it, is replaced again and again, while the outside asks through both nodes.
async fn rolling_update(cluster: &Cluster, policy: &'static str) -> Result<()> {
    let mut set = DaemonSet {
        cluster,
        policy,
        pods: BTreeMap::new(),
    };
    for (_, node) in LEADS {
        set.start(node, 0).await?;
    }
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": policy, "ports": [{"port": 80}]});
    create_service(cluster, "web", spec).await?;
    balance_load(cluster, "web", &LEADS).await?;
    set.served().await?;

    let mut loads = Vec::new();
    for (address, _) in LEADS {
        loads.push(Vantage::Outside.load(cluster, balancer(address, 80)?, PARALLEL).await?);
    }
    for update in 1..=UPDATES {
        for (_, node) in LEADS {
            let old = set.pods[node].clone();
            terminate_pod(cluster, &old).await?;
            set.start(node, update).await?;
            set.served().await?;
            kill_pod(cluster, old.metadata.name.as_deref().unwrap_or_default()).await?;
        }
    }
    let pods = if policy == "Local" { 1 } else { LEADS.len() } * (UPDATES + 1);
    for load in loads {
        let tally = load.finish().await?;
        ensure!(tally.failed() == 0, "requests failed: {tally:?}");
        ensure!(tally.answers.len() == pods, "not {pods} pods answered: {tally:?}");
    }
    Ok(())
}

/// The pods that serve now, by node.
struct DaemonSet<'c> {
    cluster: &'c Cluster,
    policy: &'static str,
    pods: BTreeMap<&'static str, Pod>,
}

impl DaemonSet<'_> {
    /// Starts a pod of this update on a node. It goes on serving when it is told to end.
    async fn start(&mut self, node: &'static str, update: usize) -> Result<()> {
        let pod = ServerPod::of("web", &name(node, update)).on_node(node).lingering();
        self.pods.insert(node, pod.create(self.cluster).await?);
        Ok(())
    }

    /// Waits until the pods, and no others, answer at each address as the policy asks.
    async fn served(&self) -> Result<()> {
        for (address, lead) in LEADS {
            let pods: Vec<String> = self
                .pods
                .iter()
                .filter(|(node, _)| self.policy == "Cluster" || **node == lead)
                .filter_map(|(_, pod)| pod.metadata.name.clone())
                .collect();
            Probe::tcp(self.cluster, &Vantage::Outside, balancer(address, 80)?)
                .answered_by(&pods)
                .await?;
        }
        Ok(())
    }
}

fn name(node: &str, update: usize) -> String {
    format!("web-{node}-{update}")
}
