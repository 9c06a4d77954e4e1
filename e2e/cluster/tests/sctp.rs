//! Services of SCTP, with real traffic of both address families.

use anyhow::Result;
use kpr_cluster::{
    cluster::Cluster,
    scenario::{sctp, with_kpr_on},
    spec::{ClusterSpec, Families},
};

async fn dual_stack(scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    with_kpr_on(ClusterSpec::default().families(Families::DualStack), scenario).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_allow_creating_a_basic_sctp_service_with_pod_and_endpoints() -> Result<()> {
    dual_stack(sctp::a_service_needs_no_sctp_in_the_kernel).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outside_reaches_a_local_and_a_remote_pod_over_sctp() -> Result<()> {
    dual_stack(sctp::the_outside_reaches_a_local_and_a_remote_pod).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_the_cluster_ip_over_sctp() -> Result<()> {
    dual_stack(sctp::pods_reach_the_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_node_ports_over_sctp() -> Result<()> {
    dual_stack(sctp::pods_reach_node_ports).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_itself_over_sctp() -> Result<()> {
    dual_stack(sctp::a_pod_reaches_itself).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_ip_without_endpoints_refuses_sctp_at_once() -> Result<()> {
    dual_stack(sctp::a_cluster_ip_without_endpoints_refuses_at_once).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_why_programs_are_on_pods_devices() -> Result<()> {
    dual_stack(sctp::the_status_says_why_programs_are_on_pods_devices).await
}
