//! How long a new Service takes until it is served.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::time::Instant;

use super::{
    ServerPod, Vantage, client_pod,
    service::{cluster_ip, create_service},
};
use crate::cluster::{Cluster, eventually};

/// Upstream tries 200.
const SERVICES: usize = 60;
/// Services under way at a time, as upstream has them.
const PARALLEL: usize = 15;
/// Upstream's limits of the median and of the 99th percentile. They are for clusters of any size; what is measured here is told by the
/// benchmarks.
const MEDIAN: Duration = Duration::from_secs(20);
const TAIL: Duration = Duration::from_secs(50);

/// From the creation of a Service to the first answer, and not only to its endpoints in the API, as upstream has it.
///
/// Upstream: "should not be very high"
pub async fn a_new_service_is_served_soon(cluster: &mut Cluster) -> Result<()> {
    let cluster = &*cluster;
    ServerPod::of("latency", "web-1")
        .on_node("node-b")
        .create(cluster)
        .await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let from = &from;
    // The first one is thrown away: it tells that the pod is ready everywhere.
    first_answer(cluster, from, SERVICES).await?;
    let mut took: Vec<Duration> = stream::iter(0..SERVICES)
        .map(|index| first_answer(cluster, from, index))
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    took.sort_unstable();
    let percentile = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let (median, tail) = (percentile(50), percentile(99));
    println!("Services served after {median:?} (median), {tail:?} (99th percentile)");
    ensure!(
        median <= MEDIAN && tail <= TAIL,
        "median {median:?}, 99 % {tail:?}: {took:?}"
    );
    Ok(())
}

async fn first_answer(cluster: &Cluster, from: &Vantage, index: usize) -> Result<Duration> {
    let begun = Instant::now();
    let spec = json!({"selector": {"app": "latency"}, "ports": [{"port": 80}]});
    let service = create_service(cluster, &format!("latency-{index}"), spec).await?;
    let target = cluster_ip(&service, 80)?;
    eventually(&format!("{target} answers"), TAIL, || async {
        let tally = from.probe(cluster, target, false).await?;
        Ok(if tally.answered() > 0 {
            Ok(begun.elapsed())
        } else {
            Err(format!("{tally:?}"))
        })
    })
    .await
}
