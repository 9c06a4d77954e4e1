//! The stand-in for kube-proxy, with real traffic: without kpr, and when kpr takes over from it and gives back.

use anyhow::Result;
use kpr_cluster::{
    kube_proxy::KubeProxyMode::{Iptables, Nftables},
    scenario::{kube_proxy, kube_proxy_parked, without_kpr},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iptables_serves_every_kind() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::every_kind_is_served(cluster, Iptables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nftables_serves_every_kind() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::every_kind_is_served(cluster, Nftables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_refusals_of_iptables_are_kube_proxys() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::addresses_and_refusals_are_kube_proxys(cluster, Iptables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_refusals_of_nftables_are_kube_proxys() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::addresses_and_refusals_are_kube_proxys(cluster, Nftables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_iptables_outlive_it_until_they_are_cleaned_up() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::rules_outlive_it_until_they_are_cleaned_up(cluster, Iptables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_nftables_outlive_it_until_they_are_cleaned_up() -> Result<()> {
    without_kpr(async |cluster| kube_proxy::rules_outlive_it_until_they_are_cleaned_up(cluster, Nftables).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parking_iptables_and_giving_back_breaks_nothing() -> Result<()> {
    without_kpr(async |cluster| kube_proxy_parked::parking_and_giving_back_breaks_nothing(cluster, Iptables).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parking_nftables_and_giving_back_breaks_nothing() -> Result<()> {
    without_kpr(async |cluster| kube_proxy_parked::parking_and_giving_back_breaks_nothing(cluster, Nftables).await)
        .await
}
