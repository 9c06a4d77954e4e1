//! Kubernetes' own tests of load balancers.

use anyhow::Result;
use kpr_cluster::scenario::{load_balancer, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_with_policy_local_preserve_the_client() -> Result<()> {
    with_kpr(load_balancer::node_ports_with_policy_local_preserve_the_client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_it_with_policy_local_from_any_node() -> Result<()> {
    with_kpr(load_balancer::pods_reach_it_with_policy_local_from_any_node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_can_be_switched_with_esipp_off() -> Result<()> {
    with_kpr(load_balancer::session_affinity_can_be_switched_with_esipp_off).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_can_be_switched_with_esipp_on() -> Result<()> {
    with_kpr(load_balancer::session_affinity_can_be_switched_with_esipp_on).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_works_with_esipp_off() -> Result<()> {
    with_kpr(load_balancer::session_affinity_works_with_esipp_off).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_works_with_esipp_on() -> Result<()> {
    with_kpr(load_balancer::session_affinity_works_with_esipp_on).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_node_ports_is_served_and_gets_them_later() -> Result<()> {
    with_kpr(load_balancer::a_service_without_node_ports_is_served_and_gets_them_later).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn type_and_ports_of_a_tcp_service_change() -> Result<()> {
    with_kpr(load_balancer::type_and_ports_of_a_tcp_service_change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn type_and_ports_of_a_udp_service_change() -> Result<()> {
    with_kpr(load_balancer::type_and_ports_of_a_udp_service_change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_update_with_policy_cluster_fails_no_request() -> Result<()> {
    with_kpr(load_balancer::rolling_update_with_policy_cluster_fails_no_request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_update_with_policy_local_fails_no_request() -> Result<()> {
    with_kpr(load_balancer::rolling_update_with_policy_local_fails_no_request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_on_different_nodes() -> Result<()> {
    with_kpr(load_balancer::server_pod_cycles_on_different_nodes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_pod_cycles_on_the_same_node() -> Result<()> {
    with_kpr(load_balancer::server_pod_cycles_on_the_same_node).await
}
