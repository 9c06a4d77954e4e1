//! Every kind of pod network, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    scenario::{shapes, with_kpr_on},
    spec::{ClusterSpec, Shape},
};

async fn on(spec: ClusterSpec) -> Result<()> {
    with_kpr_on(spec, shapes::a_pod_is_reached_from_everywhere).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge() -> Result<()> {
    on(ClusterSpec::of(Shape::Bridge)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_with_strict_reverse_path_filter() -> Result<()> {
    on(ClusterSpec::of(Shape::Bridge).rp_filter(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan() -> Result<()> {
    on(ClusterSpec::of(Shape::Vxlan)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan_with_strict_reverse_path_filter() -> Result<()> {
    on(ClusterSpec::of(Shape::Vxlan).rp_filter(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_to_point() -> Result<()> {
    on(ClusterSpec::of(Shape::Ptp)).await
}
