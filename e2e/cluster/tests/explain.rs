//! `kpr explain`, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{explain, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_clients_meet() -> Result<()> {
    with_kpr(explain::what_is_explained_is_what_clients_meet).await
}
