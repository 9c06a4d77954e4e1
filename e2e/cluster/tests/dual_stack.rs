//! Clusters with both address families, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    cluster::Cluster,
    scenario::{dual_stack, with_kpr_on},
    spec::{ClusterSpec, Families},
};

async fn on(families: Families, scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    // Boxed: some of these wait for much, one after the other.
    Box::pin(with_kpr_on(ClusterSpec::default().families(families), scenario)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_pods_have_an_address_of_each_family() -> Result<()> {
    on(
        Families::DualStack,
        dual_stack::nodes_and_pods_have_an_address_of_each_family,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_have_the_families_that_they_ask_for() -> Result<()> {
    on(
        Families::DualStack,
        dual_stack::services_have_the_families_that_they_ask_for,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_ipv6_is_first_services_have_the_families_that_they_ask_for() -> Result<()> {
    on(
        Families::DualStackIpv6First,
        dual_stack::services_have_the_families_that_they_ask_for,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reaches_the_secondary_addresses() -> Result<()> {
    on(
        Families::DualStack,
        dual_stack::everybody_reaches_the_secondary_addresses,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secondary_address_follows_endpoints_and_keeps_clients() -> Result<()> {
    on(
        Families::DualStack,
        dual_stack::the_secondary_address_follows_endpoints_and_keeps_clients,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_network_endpoints_are_reached_at_the_secondary_address() -> Result<()> {
    on(
        Families::DualStack,
        dual_stack::host_network_endpoints_are_reached_at_the_secondary_address,
    )
    .await
}
