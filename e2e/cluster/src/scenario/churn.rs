//! Services that change under traffic.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{TCP_PORT, Vantage, Workload, client_pod};
use crate::cluster::{Cluster, eventually};

/// How long traffic goes on between two changes: long enough that a stale choice would be met.
const TRAFFIC: Duration = Duration::from_millis(500);

/// Scaling down and up under traffic fails no request, neither to the ClusterIP nor to a NodePort.
pub async fn scaling_fails_no_request(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").replicas(4).node_port().deploy(cluster).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let cluster_ip = web.cluster_ip(TCP_PORT)?;
    let node_port = web.node_port(cluster, "node-b", TCP_PORT)?;
    web.served(cluster, &inside, cluster_ip, 4).await?;
    web.served(cluster, &Vantage::Outside, node_port, 4).await?;

    let loads = [
        inside.load(cluster, cluster_ip, 4).await?,
        Vantage::Outside.load(cluster, node_port, 4).await?,
    ];
    for replicas in [2, 4, 1, 3] {
        web.scale(cluster, replicas).await?;
        web.ready_pods(cluster, replicas).await?;
        sleep(TRAFFIC).await;
    }
    for load in loads {
        let tally = load.finish().await?;
        ensure!(tally.failed() == 0, "requests failed while scaling: {tally:?}");
        ensure!(tally.answered() >= 100, "too little traffic to tell: {tally:?}");
        ensure!(tally.answers.len() > 4, "no new pod ever answered: {tally:?}");
    }
    web.served(cluster, &inside, cluster_ip, 3).await
}

/// A pod that has become unready gets no new connection, and gets them again when it is ready.
pub async fn an_unready_pod_is_left_out(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").deploy(cluster).await?;
    let from = Vantage::node("node-a");
    let target = web.cluster_ip(TCP_PORT)?;
    web.served(cluster, &from, target, 2).await?;

    let pod = web.pod_on(cluster, "node-b").await?;
    super::set_ready(cluster, &pod, false).await?;
    only_answers(cluster, &from, target, 1).await?;
    super::set_ready(cluster, &pod, true).await?;
    web.served(cluster, &from, target, 2).await
}

/// Waits until exactly `count` pods answer, and nothing fails.
async fn only_answers(cluster: &Cluster, from: &Vantage, target: std::net::SocketAddr, count: usize) -> Result<()> {
    eventually(
        &format!("{count} pods answer at {target}"),
        Duration::from_secs(20),
        || async {
            let tally = from.http_parallel(cluster, target, 32, 8).await?;
            Ok(if tally.failed() == 0 && tally.answers.len() == count {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        },
    )
    .await
}

/// A deleted Service is served no longer, while its pods still are reached directly.
pub async fn a_deleted_service_stops(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let inside = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let (cluster_ip, node_port) = (web.cluster_ip(TCP_PORT)?, web.node_port(cluster, "node-b", TCP_PORT)?);
    web.served(cluster, &inside, cluster_ip, 2).await?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;

    web.delete_service(cluster).await?;
    for (from, target) in [(&inside, cluster_ip), (&Vantage::Outside, node_port)] {
        eventually(
            &format!("nobody answers at {target}"),
            Duration::from_secs(20),
            || async {
                let tally = from.http(cluster, target, 1).await?;
                Ok(if tally.answered() == 0 {
                    Ok(())
                } else {
                    Err(format!("{tally:?}"))
                })
            },
        )
        .await?;
    }
    // Nothing listens at the NodePort any more, so the node's own stack refuses.
    super::refused(cluster, &Vantage::Outside, node_port).await
}
