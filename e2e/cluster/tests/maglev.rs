//! Maglev, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{maglev, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_chooses_the_same_pod_for_a_flow() -> Result<()> {
    without_kpr(maglev::every_node_chooses_the_same_pod_for_a_flow).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_the_algorithm_loses_nothing() -> Result<()> {
    without_kpr(maglev::switching_the_algorithm_loses_nothing).await
}
