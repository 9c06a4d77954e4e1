//! `kubectl kpr check`.

use anyhow::Result;
use kpr_cluster::{
    scenario::{check, with_kpr_on, without_kpr},
    spec::{ClusterSpec, Families},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_what_works_and_leaves_nothing() -> Result<()> {
    without_kpr(check::a_check_tells_what_works_and_leaves_nothing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_in_both_families() -> Result<()> {
    let spec = ClusterSpec::default().families(Families::DualStack);
    with_kpr_on(spec, check::a_check_asks_in_both_families).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_passes_where_kube_proxy_serves() -> Result<()> {
    without_kpr(check::a_check_passes_where_kube_proxy_serves).await
}
