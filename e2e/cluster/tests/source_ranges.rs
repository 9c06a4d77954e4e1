//! Source ranges of LoadBalancer IPs, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{source_ranges, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_clients_inside_the_ranges_are_let_in() -> Result<()> {
    with_kpr(source_ranges::only_clients_inside_the_ranges_are_let_in).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_endpoints_refuses_everyone() -> Result<()> {
    with_kpr(source_ranges::a_service_without_endpoints_refuses_everyone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pods_connection_outlives_the_ranges() -> Result<()> {
    with_kpr(source_ranges::a_pods_connection_outlives_the_ranges).await
}
