//! API server, controllers and kubelets: everything of a cluster that runs inside this process.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use kpr_apiserver::{ApiServer, Options, Serving};
use tokio::{runtime::Runtime, task::JoinSet};

use super::kubernetes_service;
use crate::{control, kubelet::Kubelet, spec::ClusterSpec, testbed::Testbed};

/// How long tasks may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A running control plane. It has a runtime of its own, so that dropping it can wait for all of its tasks: none is
/// left to make a namespace while the cluster is taken down.
pub(super) struct ControlPlane {
    runtime: Option<Runtime>,
    /// Each serves until it is dropped.
    listeners: Mutex<Vec<Serving>>,
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
        let for_host = (Ipv4Addr::LOCALHOST, 0).into();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("control-plane")
            .enable_all()
            .build()?;
        let mut plane = Self {
            runtime: None,
            listeners: Mutex::default(),
            api: ApiServer::with_options(options(testbed.spec())),
            kubeconfig: testbed.dir().join("kubeconfig"),
            node_kubeconfig: testbed.dir().join("node-kubeconfig"),
        };
        let started = runtime.block_on(plane.serve(for_host, node_address, testbed));
        plane.runtime = Some(runtime);
        started.map(|()| plane)
    }

    async fn serve(&self, for_host: SocketAddr, endpoint: SocketAddr, testbed: &Arc<Testbed>) -> Result<()> {
        self.listen(for_host, endpoint, testbed)?;
        kubernetes_service::publish(&self.api.client(), endpoint, testbed.spec().service_cidrs).await?;
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

fn options(spec: &ClusterSpec) -> Options {
    let cidrs = spec.service_cidrs.iter();
    Options {
        service_cidrs: cidrs.map(|cidr| (cidr.network(), cidr.prefix_len())).collect(),
        ..Options::default()
    }
}

impl ControlPlane {
    /// Serves the API on this machine and inside the first node's namespace. Needs a runtime.
    fn listen(&self, for_host: SocketAddr, for_nodes: SocketAddr, testbed: &Testbed) -> Result<()> {
        let bind = |address: SocketAddr| TcpListener::bind(address).with_context(|| format!("listen on {address}"));
        let first = testbed.hosts().first().context("the cluster has no node")?;
        let on_host = bind(for_host)?;
        let on_node = first.netns.run(|| bind(for_nodes))?;
        for (listener, kubeconfig) in [(on_host, &self.kubeconfig), (on_node, &self.node_kubeconfig)] {
            let serving = self.api.serve(listener)?;
            serving
                .write_kubeconfig(kubeconfig)
                .with_context(|| format!("write {}", kubeconfig.display()))?;
            self.listeners().push(serving);
        }
        Ok(())
    }

    /// Closes every listener and every connection.
    pub(super) async fn stop_listening(&self) {
        let listeners = std::mem::take(&mut *self.listeners());
        for listener in listeners {
            listener.shutdown().await;
        }
    }

    /// Serves again after [`Self::stop_listening`]; on this machine at another port, which the kubeconfig names.
    pub(super) fn listen_again(&self, testbed: &Testbed) -> Result<()> {
        let runtime = self.runtime.as_ref().context("the control plane has ended")?;
        let for_nodes = testbed.spec().api_endpoint().context("the first node has no address")?;
        let _inside = runtime.enter();
        self.listen((Ipv4Addr::LOCALHOST, 0).into(), for_nodes, testbed)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Serving>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
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
