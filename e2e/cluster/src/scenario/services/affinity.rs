//! `sessionAffinity: ClientIP`, asked by a pod. Upstream's time-out is 125 seconds and its idle time 130; here they are 2 and 3.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::ThreePods;
use crate::{
    cluster::{Cluster, eventually},
    scenario::{
        Probe, Vantage, client_pod,
        service::{node_port, patch_service},
    },
};

/// How many answers in a row must come from one pod.
const IN_A_ROW: u32 = 15;
/// How long a change may take to show.
const PATIENCE: Duration = Duration::from_secs(20);
/// A client's pod is forgotten after so many seconds without a connection.
const TIMEOUT_SECONDS: u64 = 2;
/// A client that has asked nothing for so long is new. The datapath counts whole seconds.
const IDLE: Duration = Duration::from_millis(1_000 * TIMEOUT_SECONDS + 1_100);
/// So many new clients do not all meet the same of three pods: the chance is below 1 in 50,000.
const NEW_CLIENTS: u32 = 11;

/// Upstream: "should have session affinity work for service with type clusterIP"
pub async fn should_have_session_affinity_work_for_service_with_type_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    works(cluster, "ClusterIP").await
}

/// Upstream: "should have session affinity timeout work for service with type clusterIP"
pub async fn should_have_session_affinity_timeout_work_for_service_with_type_cluster_ip(
    cluster: &mut Cluster,
) -> Result<()> {
    times_out(cluster, "ClusterIP").await
}

/// Upstream: "should be able to switch session affinity for service with type clusterIP"
pub async fn should_be_able_to_switch_session_affinity_for_service_with_type_cluster_ip(
    cluster: &mut Cluster,
) -> Result<()> {
    switches(cluster, "ClusterIP").await
}

/// Upstream: "should have session affinity work for NodePort service"
pub async fn should_have_session_affinity_work_for_node_port_service(cluster: &mut Cluster) -> Result<()> {
    works(cluster, "NodePort").await
}

/// Upstream: "should have session affinity timeout work for NodePort service"
pub async fn should_have_session_affinity_timeout_work_for_node_port_service(cluster: &mut Cluster) -> Result<()> {
    times_out(cluster, "NodePort").await
}

/// Upstream: "should be able to switch session affinity for NodePort service"
pub async fn should_be_able_to_switch_session_affinity_for_node_port_service(cluster: &mut Cluster) -> Result<()> {
    switches(cluster, "NodePort").await
}

/// All answers to a client come from one pod, on every way to the Service: at the ClusterIP, or at each node's address.
async fn works(cluster: &Cluster, kind: &str) -> Result<()> {
    let Sticky { from, targets, .. } = start(cluster, kind, json!({})).await?;
    for target in targets {
        sticks(&Probe::tcp(cluster, &from, target)).await?;
    }
    Ok(())
}

/// A client that goes on asking keeps its pod; one that has been idle for longer than the time-out is new.
async fn times_out(cluster: &Cluster, kind: &str) -> Result<()> {
    let config = json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": TIMEOUT_SECONDS}}});
    let Sticky { from, targets, .. } = start(cluster, kind, config).await?;
    for target in targets {
        let probe = Probe::tcp(cluster, &from, target);
        let mut met = BTreeSet::from([sticks(&probe).await?]);
        for _ in 1..NEW_CLIENTS {
            sleep(IDLE).await;
            met.insert(probe.sticks(1).await?);
            if met.len() > 1 {
                break;
            }
        }
        ensure!(met.len() > 1, "{probe} is with {met:?} for ever");
    }
    Ok(())
}

/// Without affinity every pod answers the client, with affinity again only one.
async fn switches(cluster: &Cluster, kind: &str) -> Result<()> {
    let Sticky { service, from, targets } = start(cluster, kind, json!({})).await?;
    for (affinity, sticky) in [("None", false), ("ClientIP", true)] {
        patch_service(
            cluster,
            &service.name,
            json!({"sessionAffinity": affinity, "sessionAffinityConfig": Value::Null}),
        )
        .await?;
        for &target in &targets {
            let probe = Probe::tcp(cluster, &from, target);
            if sticky {
                sticks(&probe).await?;
            } else {
                probe.answered_by(&service.pods).await?;
            }
        }
    }
    Ok(())
}

/// A Service of this type with affinity, a client, and where it asks.
struct Sticky {
    service: ThreePods,
    from: Vantage,
    targets: Vec<SocketAddr>,
}

async fn start(cluster: &Cluster, kind: &str, mut spec: Value) -> Result<Sticky> {
    spec["type"] = json!(kind);
    spec["sessionAffinity"] = json!("ClientIP");
    let service = ThreePods::start_with(cluster, "affinity", json!({}), spec).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let mut targets = Vec::new();
    if kind == "NodePort" {
        for node in cluster.node_names() {
            targets.push(node_port(cluster, &service.service, &node, "http")?);
        }
    } else {
        targets.push(service.cluster_ip()?);
    }
    Ok(Sticky { service, from, targets })
}

/// Waits until one pod gives that many answers in a row; without affinity the chance is below 1 in a million. Returns that pod.
async fn sticks(probe: &Probe<'_>) -> Result<String> {
    eventually(&format!("{probe} sticks to one pod"), PATIENCE, || async {
        Ok(probe.sticks(IN_A_ROW).await.map_err(|error| format!("{error:#}")))
    })
    .await
}
