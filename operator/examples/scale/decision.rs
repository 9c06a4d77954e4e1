//! The time that one decision takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kpr_crds::{KubeProxyReplacement, NodeDatapath};
use kpr_operator::decide::{Decision, World, decide};
use kpr_operator::drain::Limits;
use kpr_operator::node::NodeView;
use kube::ResourceExt;

use super::cluster::{self, Cluster};

const TIMES: u32 = 50;

/// Decides on the cluster as it is, and on it as it would be in the middle of a rollout.
pub(crate) async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let nodes: BTreeMap<String, NodeView> = cluster::list::<Node>(cluster.client())
        .await?
        .into_iter()
        .map(|node| (node.name_any(), NodeView::from(node)))
        .collect();
    let datapaths: BTreeMap<String, Arc<NodeDatapath>> = cluster::list::<NodeDatapath>(cluster.client())
        .await?
        .into_iter()
        .map(|datapath| (datapath.name_any(), Arc::new(datapath)))
        .collect();
    let mut policies = cluster::list::<KubeProxyReplacement>(cluster.client()).await?;
    let mut policy = policies.pop().context("there is no policy")?;
    let (settled, decision) = time(&policy, &nodes, &datapaths);
    println!(
        "a decision when nothing changes: {:.2} ms, {} writes",
        millis(settled),
        decision.apply.len()
    );

    policy.metadata.generation = policy.metadata.generation.map(|generation| generation + 1);
    policy.spec.session_affinity.default_timeout_seconds += 1;
    let (changing, decision) = time(&policy, &nodes, &datapaths);
    println!(
        "a decision that changes nodes: {:.2} ms, {} writes",
        millis(changing),
        decision.apply.len()
    );
    Ok(())
}

fn time(
    policy: &KubeProxyReplacement,
    nodes: &BTreeMap<String, NodeView>,
    datapaths: &BTreeMap<String, Arc<NodeDatapath>>,
) -> (Duration, Decision) {
    let policies = [Arc::new(policy.clone())];
    let world = World {
        policies: &policies,
        nodes,
        datapaths,
        kube_proxy: kpr_operator::kube_proxy::Input::default(),
        limits: Limits::default(),
        now: Timestamp::now(),
    };
    let begin = Instant::now();
    let mut decision = Decision::default();
    for _ in 0..TIMES {
        decision = decide(policy, &world);
    }
    (begin.elapsed() / TIMES, decision)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
