//! Kubernetes' own tests of session affinity (`test/e2e/network/service.go`), with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{services::affinity, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_have_session_affinity_work_for_service_with_type_cluster_ip() -> Result<()> {
    with_kpr(affinity::should_have_session_affinity_work_for_service_with_type_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_have_session_affinity_timeout_work_for_service_with_type_cluster_ip() -> Result<()> {
    with_kpr(affinity::should_have_session_affinity_timeout_work_for_service_with_type_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_switch_session_affinity_for_service_with_type_cluster_ip() -> Result<()> {
    with_kpr(affinity::should_be_able_to_switch_session_affinity_for_service_with_type_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_have_session_affinity_work_for_node_port_service() -> Result<()> {
    with_kpr(affinity::should_have_session_affinity_work_for_node_port_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_have_session_affinity_timeout_work_for_node_port_service() -> Result<()> {
    with_kpr(affinity::should_have_session_affinity_timeout_work_for_node_port_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_switch_session_affinity_for_node_port_service() -> Result<()> {
    with_kpr(affinity::should_be_able_to_switch_session_affinity_for_node_port_service).await
}
