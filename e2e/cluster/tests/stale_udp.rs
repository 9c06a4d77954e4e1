//! Connected UDP clients of backends that go and come back.

use anyhow::Result;
use kpr_cluster::scenario::{stale_udp, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_for_a_node_port_service() -> Result<()> {
    with_kpr(stale_udp::server_pod_cycles_for_a_node_port_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_for_a_cluster_ip_service() -> Result<()> {
    with_kpr(stale_udp::server_pod_cycles_for_a_cluster_ip_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_for_a_cluster_ip_service_with_internal_traffic_policy_local() -> Result<()> {
    with_kpr(stale_udp::server_pod_cycles_for_a_cluster_ip_service_with_internal_traffic_policy_local).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_for_a_cluster_ip_service_and_client_is_host_network() -> Result<()> {
    with_kpr(stale_udp::server_pod_cycles_for_a_cluster_ip_service_and_client_is_host_network).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn initial_unready_endpoints_get_ready() -> Result<()> {
    with_kpr(stale_udp::initial_unready_endpoints_get_ready).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_no_service_led_are_not_touched() -> Result<()> {
    with_kpr(stale_udp::sockets_that_no_service_led_are_not_touched).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_closes_what_became_stale_without_it() -> Result<()> {
    with_kpr(stale_udp::a_restarted_agent_closes_what_became_stale_without_it).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_left_open_if_asked() -> Result<()> {
    without_kpr(stale_udp::sockets_are_left_open_if_asked).await
}
