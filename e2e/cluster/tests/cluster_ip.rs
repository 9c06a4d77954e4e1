//! ClusterIPs, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{cluster_ip, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_spread_evenly() -> Result<()> {
    with_kpr(cluster_ip::connections_are_spread_evenly).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_leaves_a_pod_for_a_cluster_ip() -> Result<()> {
    with_kpr(cluster_ip::no_packet_leaves_a_pod_for_a_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_reach_cluster_ips() -> Result<()> {
    with_kpr(cluster_ip::nodes_reach_cluster_ips).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_of_a_socket_is_the_cluster_ip() -> Result<()> {
    with_kpr(cluster_ip::the_peer_of_a_socket_is_the_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_are_answered_by_the_cluster_ip() -> Result<()> {
    with_kpr(cluster_ip::datagrams_are_answered_by_the_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_itself() -> Result<()> {
    with_kpr(cluster_ip::a_pod_reaches_itself).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_endpoints_refuses() -> Result<()> {
    with_kpr(cluster_ip::a_service_without_endpoints_refuses).await
}
