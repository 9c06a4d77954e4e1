//! NodePorts, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{node_port, with_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_the_outside() -> Result<()> {
    with_kpr(node_port::every_node_answers_the_outside).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_pod_sees_the_clients_address() -> Result<()> {
    with_kpr(node_port::a_local_pod_sees_the_clients_address).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_pod_sees_the_address_that_the_mode_promises() -> Result<()> {
    with_kpr(node_port::a_remote_pod_sees_the_address_that_the_mode_promises).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_and_nodes_reach_it_too() -> Result<()> {
    with_kpr(node_port::pods_and_nodes_reach_it_too).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nodes_own_ports_stay_its_own() -> Result<()> {
    with_kpr(node_port::a_nodes_own_ports_stay_its_own).await
}
