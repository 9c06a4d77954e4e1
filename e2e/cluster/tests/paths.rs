//! Ways that a NodePort's packets take.

use anyhow::Result;
use kpr_cluster::scenario::{paths, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_network_pod_is_a_backend_on_either_node() -> Result<()> {
    with_kpr(paths::a_host_network_pod_is_a_backend_on_either_node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_itself_through_a_node_port() -> Result<()> {
    with_kpr(paths::a_pod_reaches_itself).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_second_network_are_served_by_its_device() -> Result<()> {
    without_kpr(paths::clients_of_a_second_network_are_served_by_its_device).await
}
