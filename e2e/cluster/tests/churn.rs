//! Services that change under traffic.

use anyhow::Result;
use kpr_cluster::scenario::{churn, endpoint_goes, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_fails_no_request() -> Result<()> {
    with_kpr(churn::scaling_fails_no_request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unready_pod_is_left_out() -> Result<()> {
    with_kpr(churn::an_unready_pod_is_left_out).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_service_stops() -> Result<()> {
    with_kpr(churn::a_deleted_service_stops).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_goes_fails_no_request() -> Result<()> {
    with_kpr(endpoint_goes::an_endpoint_that_goes_fails_no_request).await
}
