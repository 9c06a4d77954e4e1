//! API server, controllers and kubelets: everything that makes a Kubernetes cluster of machines.

mod in_memory;
mod kubernetes_service;
mod real;
mod tasks;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use kpr_apiserver::ApiServer;
use kube::Client;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use self::{in_memory::InMemory, real::Real, tasks::Tasks};
use crate::{kubelet::Kubelet, spec::ControlPlaneKind, testbed::Testbed};

/// How long tasks may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Who asks the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity<'i> {
    /// Scenarios, and whoever uses kubectl: may do anything.
    Scenario,
    /// The controllers of [`crate::control`].
    Controllers,
    /// The kubelet of a node.
    Kubelet(&'i str),
    /// The kube-proxy of a node.
    KubeProxy(&'i str),
}

impl Identity<'_> {
    /// What it calls itself (its User-Agent).
    fn agent(self) -> String {
        match self {
            Self::Scenario => "kpr-cluster-scenario".to_owned(),
            Self::Controllers => "kpr-cluster-controllers".to_owned(),
            Self::Kubelet(node) => format!("kubelet-{node}"),
            Self::KubeProxy(node) => format!("kube-proxy-{node}"),
        }
    }
}

/// A running control plane. It has a runtime of its own, so that dropping it can wait for all of its tasks: none is
/// left to make a namespace while the cluster is taken down.
pub(super) struct ControlPlane {
    runtime: Option<Runtime>,
    server: Server,
    /// Controllers and kubelets.
    tasks: Vec<Tasks>,
    /// For this machine: `kubectl` and tests.
    pub(super) kubeconfig: PathBuf,
    /// For programs on the nodes.
    pub(super) node_kubeconfig: PathBuf,
}

/// What serves the API, and runs the controllers.
enum Server {
    InMemory(InMemory),
    Real(Box<Real>),
}

impl ControlPlane {
    /// Starts it. Returns when every node is Ready and takes pods.
    pub(super) fn start(testbed: &Arc<Testbed>, kind: ControlPlaneKind) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("control-plane")
            .enable_all()
            .build()?;
        let kubeconfig = testbed.dir().join("kubeconfig");
        let node_kubeconfig = testbed.dir().join("node-kubeconfig");
        let (server, tasks) = runtime.block_on(async {
            let mut tasks = Vec::new();
            let server = match kind {
                ControlPlaneKind::InMemory => {
                    let server = InMemory::start(testbed, &kubeconfig, &node_kubeconfig).await?;
                    tasks.push(Tasks::watch("a controller", server.controllers()));
                    Server::InMemory(server)
                }
                ControlPlaneKind::Real => {
                    let real = Real::start(testbed, &kubeconfig, &node_kubeconfig).await;
                    Server::Real(Box::new(real.context("start a real control plane")?))
                }
            };
            tasks.push(start_kubelets(&server, testbed).await?);
            if let Server::Real(real) = &server {
                real.takes_pods(testbed).await?;
            }
            Ok::<_, anyhow::Error>((server, tasks))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            server,
            tasks,
            kubeconfig,
            node_kubeconfig,
        })
    }

    /// A client that uses `namespace` where a request names none.
    pub(super) fn client_in(&self, identity: Identity<'_>, namespace: &str) -> Result<Client> {
        self.server.client(identity, namespace)
    }

    /// A client of the namespace `default`.
    pub(super) fn client(&self, identity: Identity<'_>) -> Result<Client> {
        self.client_in(identity, "default")
    }

    /// The API server in this process, if that is the one.
    pub(super) fn in_memory(&self) -> Option<&ApiServer> {
        match &self.server {
            Server::InMemory(server) => Some(&server.api),
            Server::Real(_) => None,
        }
    }

    /// Takes the API server off the network.
    pub(super) async fn stop_serving(&self) -> Result<()> {
        match &self.server {
            Server::InMemory(server) => server.stop_listening().await,
            Server::Real(server) => server.stop_api_server().await?,
        }
        Ok(())
    }

    /// Serves again after [`Self::stop_serving`]. Not for a thread of a runtime.
    pub(super) fn serve_again(&self, testbed: &Testbed) -> Result<()> {
        let runtime = self.runtime.as_ref().context("the control plane has ended")?;
        match &self.server {
            Server::InMemory(server) => {
                let _inside = runtime.enter();
                server.listen(testbed, &self.kubeconfig, &self.node_kubeconfig)
            }
            Server::Real(server) => runtime.block_on(server.start_api_server(testbed)),
        }
    }

    /// A client that shows this token and nothing else.
    pub(super) fn client_with_token(&self, token: &str) -> Result<Client> {
        match &self.server {
            Server::InMemory(_) => bail!("the API server in this process does not know tokens"),
            Server::Real(server) => server.client_with_token(token),
        }
    }

    /// What the API server has been asked for, if it writes that down.
    pub(super) fn audit_log(&self) -> Option<PathBuf> {
        match &self.server {
            Server::InMemory(_) => None,
            Server::Real(server) => Some(server.audit_log()),
        }
    }

    /// The log of each of its processes, by name.
    pub(super) fn logs(&self) -> Vec<(String, PathBuf)> {
        match &self.server {
            Server::InMemory(_) => Vec::new(),
            Server::Real(server) => server.logs(),
        }
    }
}

impl Server {
    fn client(&self, identity: Identity<'_>, namespace: &str) -> Result<Client> {
        match self {
            Self::InMemory(server) => Ok(server.api.client_in(&identity.agent(), namespace)),
            Self::Real(server) => server.client(identity, namespace),
        }
    }
}

/// Starts a kubelet on every node, on the runtime that this runs on.
async fn start_kubelets(server: &Server, testbed: &Arc<Testbed>) -> Result<Tasks> {
    let mut kubelets = JoinSet::new();
    for host in testbed.hosts() {
        let name = &host.spec.name;
        let client = server.client(Identity::Kubelet(name), "default")?;
        kubelets.spawn(Kubelet::register(client, Arc::clone(testbed), name).await?.run());
    }
    Ok(Tasks::watch("a kubelet", kubelets))
}

/// Where the nodes reach the API.
fn endpoint(testbed: &Testbed) -> Result<std::net::SocketAddr> {
    testbed.spec().api_endpoint().context("the first node has no address")
}

/// Writes a file that only root may read.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _};
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A runtime must not be shut down on a thread that runs asynchronous code, and this may be one.
        let tasks = std::mem::take(&mut self.tasks);
        let shutdown = std::thread::spawn(move || {
            let ended = async {
                for tasks in tasks {
                    tasks.end().await;
                }
            };
            if runtime.block_on(async { timeout(SHUTDOWN, ended).await }).is_err() {
                tracing::error!("the control plane's tasks have not ended within {SHUTDOWN:?}");
            }
            runtime.shutdown_timeout(SHUTDOWN);
        });
        if shutdown.join().is_err() {
            tracing::error!("the control plane's shutdown panicked");
        }
    }
}
