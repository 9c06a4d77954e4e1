//! API server, controllers and kubelets: everything of a cluster that runs inside this process.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use kpr_apiserver::{ApiServer, Serving};
use tokio::{runtime::Runtime, task::JoinSet};

use super::kubernetes_service;
use crate::{control, kubelet::Kubelet, testbed::Testbed};

/// How long tasks may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A running control plane. It has a runtime of its own, so that dropping it can wait for all of its tasks: none is
/// left to make a namespace while the cluster is taken down.
pub(super) struct ControlPlane {
    runtime: Option<Runtime>,
    /// Each serves until it is dropped.
    listeners: Vec<Serving>,
    pub(super) api: ApiServer,
    /// For this machine: `kubectl` and tests.
    pub(super) kubeconfig: PathBuf,
    /// For programs on the nodes.
    pub(super) node_kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts it. Returns when every node is registered.
    pub(super) fn start(testbed: &Arc<Testbed>) -> Result<Self> {
        let node_address = testbed.spec().api_endpoint().context("the first node has no address")?;
        let for_host = TcpListener::bind(("127.0.0.1", 0)).context("listen on loopback")?;
        let first = testbed.hosts().first().context("the cluster has no node")?;
        let for_nodes = first
            .netns
            .run(|| TcpListener::bind(node_address).with_context(|| format!("listen on {node_address}")))?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("control-plane")
            .enable_all()
            .build()?;
        let mut plane = Self {
            runtime: None,
            listeners: Vec::new(),
            api: ApiServer::new(),
            kubeconfig: testbed.dir().join("kubeconfig"),
            node_kubeconfig: testbed.dir().join("node-kubeconfig"),
        };
        let started = runtime.block_on(plane.serve(for_host, for_nodes, node_address, testbed));
        plane.runtime = Some(runtime);
        started.map(|()| plane)
    }

    async fn serve(
        &mut self,
        for_host: TcpListener,
        for_nodes: TcpListener,
        endpoint: SocketAddr,
        testbed: &Arc<Testbed>,
    ) -> Result<()> {
        for (listener, kubeconfig) in [(for_host, &self.kubeconfig), (for_nodes, &self.node_kubeconfig)] {
            let serving = self.api.serve(listener)?;
            serving
                .write_kubeconfig(kubeconfig)
                .with_context(|| format!("write {}", kubeconfig.display()))?;
            self.listeners.push(serving);
        }
        kubernetes_service::publish(&self.api.client(), endpoint).await?;
        let mut controllers = control::start(&self.api.client_as("kpr-cluster-controllers"));
        tokio::spawn(async move { while controllers.join_next().await.is_some() {} });
        let mut kubelets = JoinSet::new();
        for host in testbed.hosts() {
            let name = &host.spec.name;
            let client = self.api.client_as(&format!("kubelet-{name}"));
            kubelets.spawn(Kubelet::register(client, Arc::clone(testbed), name).await?.run());
        }
        tokio::spawn(async move {
            while let Some(ended) = kubelets.join_next().await {
                tracing::error!("a kubelet ended: {ended:?}");
            }
        });
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A runtime must not be shut down on a thread that runs asynchronous code, and this may be one.
        let shutdown = std::thread::spawn(move || runtime.shutdown_timeout(SHUTDOWN));
        if shutdown.join().is_err() {
            tracing::error!("the control plane's shutdown panicked");
        }
    }
}
