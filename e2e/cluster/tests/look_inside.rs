//! The command `kpr` on a node.

use anyhow::Result;
use kpr_cluster::scenario::{look_inside, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kpr_tells_what_its_node_does_with_or_without_an_agent() -> Result<()> {
    with_kpr(look_inside::kpr_tells_what_its_node_does_with_or_without_an_agent).await
}
