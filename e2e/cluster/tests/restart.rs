//! The agent's death and return.

use anyhow::Result;
use kpr_cluster::scenario::{restart, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_agents_breaks_nothing() -> Result<()> {
    with_kpr(restart::killing_agents_breaks_nothing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_catches_up() -> Result<()> {
    with_kpr(restart::a_restarted_agent_catches_up).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_leaves_the_datapath_forwarding() -> Result<()> {
    with_kpr(restart::a_stopped_agent_leaves_the_datapath_forwarding).await
}
