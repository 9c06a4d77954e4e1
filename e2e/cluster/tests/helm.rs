//! The Helm chart on a real control plane.

use anyhow::Result;
use kpr_cluster::{
    scenario::{helm, without_kpr_on},
    spec::{ClusterSpec, ControlPlaneKind},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_comes_changes_and_goes() -> Result<()> {
    let spec = ClusterSpec::default().control_plane(ControlPlaneKind::Real);
    without_kpr_on(spec, helm::a_release_comes_changes_and_goes).await
}
