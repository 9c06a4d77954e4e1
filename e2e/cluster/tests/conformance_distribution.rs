//! Kubernetes' own tests of traffic distribution, in clusters of several zones.

use anyhow::Result;
use kpr_cluster::scenario::{
    distribution::{self, several_nodes_in_zones, three_zones},
    with_kpr, with_kpr_on,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_close_stays_in_the_zone() -> Result<()> {
    with_kpr_on(three_zones(), distribution::prefer_close_stays_in_the_zone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_same_zone_stays_in_the_zone() -> Result<()> {
    with_kpr_on(three_zones(), distribution::prefer_same_zone_stays_in_the_zone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_keep_requests_in_their_zone() -> Result<()> {
    with_kpr_on(three_zones(), distribution::hints_keep_requests_in_their_zone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_close_uses_all_nodes_of_the_zone() -> Result<()> {
    with_kpr_on(
        several_nodes_in_zones(),
        distribution::prefer_close_uses_all_nodes_of_the_zone,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_same_zone_uses_all_nodes_of_the_zone() -> Result<()> {
    with_kpr_on(
        several_nodes_in_zones(),
        distribution::prefer_same_zone_uses_all_nodes_of_the_zone,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_same_node_falls_back_to_the_zone() -> Result<()> {
    with_kpr_on(
        several_nodes_in_zones(),
        distribution::prefer_same_node_falls_back_to_the_zone,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefer_same_node_falls_back_when_its_endpoint_goes() -> Result<()> {
    with_kpr(distribution::prefer_same_node_falls_back_when_its_endpoint_goes).await
}
