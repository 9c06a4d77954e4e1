//! `kpr diff kube-proxy`, with rules that are really loaded and read back.

use anyhow::Result;
use kpr_cluster::{
    address::Families,
    kube_proxy::KubeProxyMode::{self, Iptables, Nftables},
    scenario::{comparing, with_kpr_on},
    spec::ClusterSpec,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_differs_from_iptables_is_told() -> Result<()> {
    differs(Iptables).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_differs_from_nftables_is_told() -> Result<()> {
    differs(Nftables).await
}

async fn differs(mode: KubeProxyMode) -> Result<()> {
    let spec = ClusterSpec::default().families(Families::DualStack);
    with_kpr_on(spec, async |cluster| {
        comparing::exactly_what_differs_is_told(cluster, mode).await
    })
    .await
}
