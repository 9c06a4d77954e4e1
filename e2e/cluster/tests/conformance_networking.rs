//! Kubernetes' own tests of networking, in the parts that concern Services.

use anyhow::Result;
use kpr_cluster::{
    scenario::{
        custom_slices, granular, healing, latency, localhost_node_port, odd_addresses, out_of_window, with_kpr,
        with_kpr_on,
    },
    spec::{ClusterSpec, Shape},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_every_endpoint_by_http() -> Result<()> {
    with_kpr(granular::pods_reach_every_endpoint_by_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_every_endpoint_by_udp() -> Result<()> {
    with_kpr(granular::pods_reach_every_endpoint_by_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_reach_every_endpoint_by_http() -> Result<()> {
    with_kpr(granular::nodes_reach_every_endpoint_by_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_reach_every_endpoint_by_udp() -> Result<()> {
    with_kpr(granular::nodes_reach_every_endpoint_by_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_reach_every_endpoint_by_http() -> Result<()> {
    with_kpr(granular::endpoints_reach_every_endpoint_by_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_reach_every_endpoint_by_udp() -> Result<()> {
    with_kpr(granular::endpoints_reach_every_endpoint_by_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_with_the_same_selector_live_apart() -> Result<()> {
    with_kpr(granular::two_services_with_the_same_selector_live_apart).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_updated_for_http() -> Result<()> {
    with_kpr(granular::endpoints_are_updated_for_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_updated_for_udp() -> Result<()> {
    with_kpr(granular::endpoints_are_updated_for_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_node_port_is_dead_for_http() -> Result<()> {
    with_kpr(granular::a_deleted_node_port_is_dead_for_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_node_port_is_dead_for_udp() -> Result<()> {
    with_kpr(granular::a_deleted_node_port_is_dead_for_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_work_for_udp() -> Result<()> {
    with_kpr(granular::node_ports_work_for_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_works_for_http() -> Result<()> {
    with_kpr(granular::session_affinity_works_for_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_affinity_works_for_udp() -> Result<()> {
    with_kpr(granular::session_affinity_works_for_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_pass_by_http() -> Result<()> {
    with_kpr(granular::large_requests_pass_by_http).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_pass_by_udp() -> Result<()> {
    with_kpr(granular::large_requests_pass_by_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_in_the_nodes_network_are_reached() -> Result<()> {
    with_kpr_on(
        ClusterSpec::of(Shape::Ptp),
        granular::endpoints_in_the_nodes_network_are_reached,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_may_be_in_several_slices() -> Result<()> {
    with_kpr(custom_slices::ports_may_be_in_several_slices).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_may_be_in_several_slices() -> Result<()> {
    with_kpr(custom_slices::addresses_may_be_in_several_slices).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_leads_to_pods_on_every_node() -> Result<()> {
    with_kpr(localhost_node_port::loopback_leads_to_pods_on_every_node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_has_session_affinity() -> Result<()> {
    with_kpr(localhost_node_port::loopback_has_session_affinity).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leading_zeros_are_decimal() -> Result<()> {
    with_kpr(odd_addresses::leading_zeros_are_decimal).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_service_is_served_soon() -> Result<()> {
    with_kpr(latency::a_new_service_is_served_soon).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_out_of_the_window_reset_nothing() -> Result<()> {
    with_kpr(out_of_window::segments_out_of_the_window_reset_nothing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_by_hand_comes_back() -> Result<()> {
    with_kpr(healing::what_is_deleted_by_hand_comes_back).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_ip_of_another_range_is_served() -> Result<()> {
    with_kpr(odd_addresses::a_cluster_ip_of_another_range_is_served).await
}
