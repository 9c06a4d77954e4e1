//! Flows whose backend goes.

use anyhow::Result;
use kpr_cluster::scenario::{stale_flows, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_drain_on_a_terminating_pod() -> Result<()> {
    with_kpr(stale_flows::connections_drain_on_a_terminating_pod).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_follow_their_service() -> Result<()> {
    with_kpr(stale_flows::datagrams_follow_their_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_gone_endpoint_are_reset_if_asked() -> Result<()> {
    without_kpr(stale_flows::connections_to_a_gone_endpoint_are_reset_if_asked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_client_port_to_a_pod_and_to_its_node_port() -> Result<()> {
    with_kpr(stale_flows::the_same_client_port_to_a_pod_and_to_its_node_port).await
}
