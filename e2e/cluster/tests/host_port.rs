//! hostPorts of pods, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{host_port, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_pods_own_node_answers() -> Result<()> {
    with_kpr(host_port::only_the_pods_own_node_answers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_ip_has_the_port_alone() -> Result<()> {
    with_kpr(host_port::a_host_ip_has_the_port_alone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_port_of_the_same_number_comes_first() -> Result<()> {
    with_kpr(host_port::a_node_port_of_the_same_number_comes_first).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_adopts_it() -> Result<()> {
    with_kpr(host_port::a_restarted_agent_adopts_it).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_left_to_the_cni() -> Result<()> {
    without_kpr(host_port::it_can_be_left_to_the_cni).await
}
