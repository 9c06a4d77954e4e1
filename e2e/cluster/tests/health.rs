//! Health endpoints, asked as load balancers and probes do.

use anyhow::Result;
use kpr_cluster::scenario::{health, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_kube_proxys_urls() -> Result<()> {
    with_kpr(health::every_node_answers_kube_proxys_urls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_follow_the_datapath() -> Result<()> {
    with_kpr(health::metrics_follow_the_datapath).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_counted_if_asked_for() -> Result<()> {
    with_kpr(health::services_are_counted_if_asked_for).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_ask_each_other_how_they_are() -> Result<()> {
    with_kpr(health::agents_ask_each_other_how_they_are).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_to_go_is_not_eligible() -> Result<()> {
    with_kpr(health::a_node_that_is_to_go_is_not_eligible).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_with_endpoints_pass_the_health_check() -> Result<()> {
    with_kpr(health::only_nodes_with_endpoints_pass_the_health_check).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_terminating_endpoints_fail_the_health_check_and_serve() -> Result<()> {
    with_kpr(health::only_terminating_endpoints_fail_the_health_check_and_serve).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_port_is_closed_after_the_type_changes() -> Result<()> {
    with_kpr(health::the_health_check_port_is_closed_after_the_type_changes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_follows_the_external_traffic_policy() -> Result<()> {
    with_kpr(health::the_health_check_follows_the_external_traffic_policy).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_gives_the_ports_back() -> Result<()> {
    with_kpr(health::removal_gives_the_ports_back).await
}
