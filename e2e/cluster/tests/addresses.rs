//! Which addresses serve NodePorts and LoadBalancer IPs, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{addresses, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_are_served_where_the_policy_says() -> Result<()> {
    without_kpr(addresses::node_ports_are_served_where_the_policy_says).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_load_balancer_ips_of_mode_vip_are_served() -> Result<()> {
    with_kpr(addresses::only_load_balancer_ips_of_mode_vip_are_served).await
}
