//! Services for pods whose sockets are not seen, with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{packet_fallback, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_cluster_ips_without_socket_programs() -> Result<()> {
    without_kpr(packet_fallback::pods_reach_cluster_ips_without_socket_programs).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_itself_without_socket_programs() -> Result<()> {
    without_kpr(packet_fallback::a_pod_reaches_itself_without_socket_programs).await
}
