//! `kpr monitor`, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{monitor, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_sees_flows_and_drops_and_leaves_nothing_behind() -> Result<()> {
    with_kpr(monitor::whoever_listens_sees_flows_and_drops_and_leaves_nothing_behind).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_killed_comes_back_without_events() -> Result<()> {
    with_kpr(monitor::an_agent_that_was_killed_comes_back_without_events).await
}
