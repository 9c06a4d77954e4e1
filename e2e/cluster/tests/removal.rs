//! An orderly end.

use anyhow::Result;
use kpr_cluster::scenario::{removal, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_on_the_nodes() -> Result<()> {
    without_kpr(removal::nothing_is_left_on_the_nodes).await
}
