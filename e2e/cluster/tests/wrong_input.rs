//! Agents that cannot work say so.

use anyhow::Result;
use kpr_cluster::scenario::{without_kpr, wrong_input};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_root() -> Result<()> {
    without_kpr(wrong_input::without_root).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_path_that_is_no_cgroup2() -> Result<()> {
    without_kpr(wrong_input::with_a_path_that_is_no_cgroup2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_malformed_kubeconfig() -> Result<()> {
    without_kpr(wrong_input::with_a_malformed_kubeconfig).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_api_server_away() -> Result<()> {
    without_kpr(wrong_input::with_the_api_server_away).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_unknown_device() -> Result<()> {
    without_kpr(wrong_input::with_an_unknown_device).await
}
