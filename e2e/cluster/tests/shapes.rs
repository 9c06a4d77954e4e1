//! Every kind of pod network in the address families that it has, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    scenario::{shapes, with_kpr_on},
    spec::{ClusterSpec, Families, Shape},
};

async fn on(spec: ClusterSpec) -> Result<()> {
    with_kpr_on(spec, shapes::a_pod_is_reached_from_everywhere).await
}

async fn of(shape: Shape, families: Families) -> Result<()> {
    on(ClusterSpec::of(shape).families(families)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge() -> Result<()> {
    of(Shape::Bridge, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_ipv6() -> Result<()> {
    of(Shape::Bridge, Families::Ipv6).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_dual_stack() -> Result<()> {
    of(Shape::Bridge, Families::DualStack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_dual_stack_ipv6_first() -> Result<()> {
    of(Shape::Bridge, Families::DualStackIpv6First).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_with_strict_reverse_path_filter() -> Result<()> {
    on(ClusterSpec::of(Shape::Bridge).rp_filter(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_to_point() -> Result<()> {
    of(Shape::Ptp, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_to_point_ipv6() -> Result<()> {
    of(Shape::Ptp, Families::Ipv6).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_to_point_dual_stack() -> Result<()> {
    of(Shape::Ptp, Families::DualStack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan() -> Result<()> {
    of(Shape::Vxlan, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan_with_strict_reverse_path_filter() -> Result<()> {
    on(ClusterSpec::of(Shape::Vxlan).rp_filter(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan_dual_stack() -> Result<()> {
    of(Shape::Vxlan, Families::DualStack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flannel() -> Result<()> {
    of(Shape::Flannel, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flannel_with_strict_reverse_path_filter() -> Result<()> {
    on(ClusterSpec::of(Shape::Flannel).rp_filter(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flannel_ipv6() -> Result<()> {
    of(Shape::Flannel, Families::Ipv6).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_routed() -> Result<()> {
    of(Shape::PolicyRouted, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_leave_by_the_device_that_was_asked() -> Result<()> {
    let spec = ClusterSpec::of(Shape::PolicyRouted).families(Families::DualStack);
    with_kpr_on(spec, shapes::answers_leave_by_the_device_that_was_asked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cni_bridge_dual_stack() -> Result<()> {
    of(Shape::CniBridge, Families::DualStack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cni_point_to_point() -> Result<()> {
    of(Shape::CniPtp, Families::Ipv4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cni_point_to_point_dual_stack_ipv6_first() -> Result<()> {
    of(Shape::CniPtp, Families::DualStackIpv6First).await
}
