//! kpr beside a kube-proxy, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    kube_proxy::KubeProxyMode::{Iptables, Nftables},
    scenario::{partial_mode, without_kpr},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_ips_beside_iptables() -> Result<()> {
    without_kpr(async |cluster| partial_mode::kpr_has_cluster_ips_and_kube_proxy_the_rest(cluster, Iptables).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_ips_beside_nftables() -> Result<()> {
    without_kpr(async |cluster| partial_mode::kpr_has_cluster_ips_and_kube_proxy_the_rest(cluster, Nftables).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_and_load_balancers_beside_iptables() -> Result<()> {
    without_kpr(async |cluster| {
        partial_mode::kpr_has_node_ports_and_load_balancers_and_kube_proxy_the_rest(cluster, Iptables).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_and_load_balancers_beside_nftables() -> Result<()> {
    without_kpr(async |cluster| {
        partial_mode::kpr_has_node_ports_and_load_balancers_and_kube_proxy_the_rest(cluster, Nftables).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_kinds_beside_iptables_loses_nothing() -> Result<()> {
    without_kpr(async |cluster| partial_mode::switching_kinds_loses_nothing(cluster, Iptables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_kinds_beside_nftables_loses_nothing() -> Result<()> {
    without_kpr(async |cluster| partial_mode::switching_kinds_loses_nothing(cluster, Nftables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_beside_iptables_works_and_says_so() -> Result<()> {
    without_kpr(async |cluster| partial_mode::strict_beside_a_kube_proxy_works_and_says_so(cluster, Iptables).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_beside_nftables_works_and_says_so() -> Result<()> {
    without_kpr(async |cluster| partial_mode::strict_beside_a_kube_proxy_works_and_says_so(cluster, Nftables).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_over_from_iptables_and_giving_back_breaks_nothing() -> Result<()> {
    without_kpr(async |cluster| partial_mode::taking_over_and_giving_back_breaks_nothing(cluster, Iptables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_over_from_nftables_and_giving_back_breaks_nothing() -> Result<()> {
    without_kpr(async |cluster| partial_mode::taking_over_and_giving_back_breaks_nothing(cluster, Nftables).await).await
}
