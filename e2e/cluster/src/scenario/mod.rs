//! What kpr must do, as functions over a running cluster. Each is a sentence; tests give it a cluster of its own.

pub mod addresses;
mod audit;
pub mod bind_protection;
pub mod check;
pub mod churn;
pub mod cluster_ip;
pub mod comparing;
pub mod custom_slices;
pub mod distribution;
pub mod dsr;
pub mod dual_stack;
mod dump;
pub mod endpoint_goes;
mod exit_codes;
pub mod explain;
pub mod granular;
pub mod healing;
pub mod health;
pub mod helm;
pub mod host_port;
pub mod install;
pub mod kube_proxy;
pub mod kube_proxy_parked;
pub mod latency;
pub mod load_balancer;
pub mod localhost_node_port;
pub mod look_inside;
pub mod maglev;
pub mod many_flows;
pub mod monitor;
pub mod node_port;
pub mod odd_addresses;
pub mod out_of_window;
pub mod packet_fallback;
pub mod partial_mode;
pub mod paths;
mod plugin;
mod probe;
pub mod removal;
pub mod restart;
pub mod sctp;
mod seen;
mod server_pod;
pub mod service;
pub mod services;
pub mod shapes;
pub mod source_ranges;
pub mod stale_flows;
pub mod stale_udp;
mod vantage;
mod ways;
mod workload;
pub mod wrong_input;
pub mod xdp;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::Semaphore;

pub use self::{
    probe::Probe,
    server_pod::{POD_PORT, ServerPod, delete_pod, host_network_client, kill_pod, server_pods, terminate_pod},
    vantage::{Holding, Load, OpenFlows, Pacing, UdpHolding, Vantage},
    workload::{Deployed, TCP_PORT, UDP_PORT, Workload, client_pod},
};
use crate::{
    cluster::{Cluster, eventually},
    spec::ClusterSpec,
};

/// How long a change may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many clusters run at a time, however many threads the tests have: their measurements share the processors.
const PARALLEL: usize = 2;
static CLUSTERS: Semaphore = Semaphore::const_new(PARALLEL);

/// Runs `scenario` on a cluster that kpr serves.
pub async fn with_kpr(scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    with_kpr_on(ClusterSpec::default(), scenario).await
}

/// Runs `scenario` on a cluster of this spec that kpr serves.
pub async fn with_kpr_on(spec: ClusterSpec, scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    without_kpr_on(spec, async |cluster| {
        install::kpr(cluster).await?;
        scenario(cluster).await
    })
    .await
}

/// Runs `scenario` on a cluster that knows nothing of kpr yet. After a failure the logs tell what the programs did.
pub async fn without_kpr(scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    without_kpr_on(ClusterSpec::default(), scenario).await
}

/// The same on a cluster of this spec.
pub async fn without_kpr_on(spec: ClusterSpec, scenario: impl AsyncFnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let _turn = CLUSTERS.acquire().await?;
    let mut cluster = Cluster::start(spec).await?;
    let result = scenario(&mut cluster).await;
    let logs = if result.is_err() {
        cluster.program_logs()
    } else {
        String::new()
    };
    // Waits for the removal, which is not for a thread of the runtime.
    tokio::task::spawn_blocking(move || drop(cluster)).await?;
    result.with_context(|| logs)
}

/// Waits until connections to `target` are refused; from then on every one must be, and at once.
async fn refused(cluster: &Cluster, from: &Vantage, target: SocketAddr) -> Result<()> {
    eventually(&format!("{target} refuses {from}"), Duration::from_secs(20), || async {
        let tally = from.http(cluster, target, 1).await?;
        let refused = tally.failures.contains_key("ECONNREFUSED");
        Ok(if refused { Ok(()) } else { Err(format!("{tally:?}")) })
    })
    .await?;
    let tally = from.http(cluster, target, 20).await?;
    ensure!(
        tally.failures == [("ECONNREFUSED".to_owned(), 20)].into(),
        "{target} to {from}: {tally:?}"
    );
    Ok(())
}

/// Makes a pod want traffic, or not, as its readiness probe would.
pub async fn set_ready(cluster: &Cluster, pod: &Pod, ready: bool) -> Result<()> {
    let server = SocketAddr::new(service::pod_ip(pod)?, TCP_PORT);
    let node = crate::control::pods::node_name(pod).context("the pod is bound to no node")?;
    let url = format!("http://{server}/ready/{ready}");
    let curl = cluster.on_node(node, "curl")?.args([
        "--silent",
        "--show-error",
        "--fail",
        "--globoff",
        "--request",
        "POST",
        &url,
    ]);
    curl.output().await?.success().map(|_output| ())
}
