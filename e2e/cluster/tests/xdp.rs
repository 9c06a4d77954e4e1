//! XDP on nodes, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    scenario::{without_kpr_on, xdp},
    spec::{ClusterSpec, Families, Shape},
};

fn with_real_wires() -> ClusterSpec {
    ClusterSpec::default().with_real_wires()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_sends_packets_on() -> Result<()> {
    let spec = with_real_wires().families(Families::DualStack);
    without_kpr_on(spec, xdp::a_driver_sends_packets_on).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xdp_behind_the_driver_sends_packets_on() -> Result<()> {
    let spec = with_real_wires().families(Families::DualStack);
    without_kpr_on(spec, xdp::xdp_behind_the_driver_sends_packets_on).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_leave_by_another_device() -> Result<()> {
    let spec = ClusterSpec::of(Shape::PolicyRouted).with_real_wires();
    without_kpr_on(spec, xdp::packets_leave_by_another_device).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_it_loses_nothing() -> Result<()> {
    without_kpr_on(with_real_wires(), xdp::switching_it_loses_nothing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_agents_breaks_nothing() -> Result<()> {
    without_kpr_on(with_real_wires(), xdp::killing_agents_breaks_nothing).await
}
