//! Kubernetes' own tests of traffic policies and terminating endpoints (`test/e2e/network/service.go`), with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{
    services::{terminating, traffic_policy},
    with_kpr,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_respect_internal_traffic_policy_local_pod_to_pod() -> Result<()> {
    with_kpr(traffic_policy::should_respect_internal_traffic_policy_local_pod_to_pod).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_respect_internal_traffic_policy_local_pod_host_network_true_to_pod() -> Result<()> {
    with_kpr(traffic_policy::should_respect_internal_traffic_policy_local_pod_host_network_true_to_pod).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_respect_internal_traffic_policy_local_pod_and_node_to_pod_host_network_true() -> Result<()> {
    with_kpr(traffic_policy::should_respect_internal_traffic_policy_local_pod_and_node_to_pod_host_network_true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_cluster()
-> Result<()> {
    with_kpr(terminating::should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_local()
-> Result<()> {
    with_kpr(terminating::should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_local).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_cluster()
-> Result<()> {
    with_kpr(terminating::should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_local()
-> Result<()> {
    with_kpr(terminating::should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_local).await
}
