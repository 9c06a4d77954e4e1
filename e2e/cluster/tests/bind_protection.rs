//! Ports of Services, asked for by programs of the node.

use anyhow::Result;
use kpr_cluster::scenario::{bind_protection, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_served_port_cannot_be_bound_on_the_node() -> Result<()> {
    with_kpr(bind_protection::a_served_port_cannot_be_bound_on_the_node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_switched_off_and_on() -> Result<()> {
    without_kpr(bind_protection::it_can_be_switched_off_and_on).await
}
