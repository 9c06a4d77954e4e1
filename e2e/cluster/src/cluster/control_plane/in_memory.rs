//! The API server in this process, with the controllers of [`crate::control`]: starts in milliseconds, and makes faults to order.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use kpr_apiserver::{ApiServer, Options, Serving};
use tokio::task::JoinSet;

use super::{Identity, endpoint, kubernetes_service};
use crate::{control, spec::ClusterSpec, testbed::Testbed};

/// The server and its listeners.
pub(super) struct InMemory {
    pub(super) api: ApiServer,
    /// Each serves until it is dropped.
    listeners: Mutex<Vec<Serving>>,
}

impl InMemory {
    /// Starts it on the runtime that this runs on.
    pub(super) async fn start(testbed: &Testbed, kubeconfig: &Path, node_kubeconfig: &Path) -> Result<Self> {
        let server = Self {
            api: ApiServer::with_options(options(testbed.spec())),
            listeners: Mutex::default(),
        };
        server.listen(testbed, kubeconfig, node_kubeconfig)?;
        let service_cidrs = testbed.spec().service_cidrs;
        kubernetes_service::publish(&server.api.client(), endpoint(testbed)?, service_cidrs).await?;
        Ok(server)
    }

    /// Starts the controllers, on the runtime that this runs on.
    pub(super) fn controllers(&self) -> JoinSet<()> {
        control::start(&self.api.client_as(&Identity::Controllers.agent()))
    }

    /// Serves the API on this machine, at a port that the kubeconfig names, and inside the first node's namespace. Needs a runtime.
    pub(super) fn listen(&self, testbed: &Testbed, kubeconfig: &Path, node_kubeconfig: &Path) -> Result<()> {
        let bind = |address: SocketAddr| TcpListener::bind(address).with_context(|| format!("listen on {address}"));
        let for_nodes = endpoint(testbed)?;
        let first = testbed.hosts().first().context("the cluster has no node")?;
        let on_host = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let on_node = first.netns.run(|| bind(for_nodes))?;
        for (listener, kubeconfig) in [(on_host, kubeconfig), (on_node, node_kubeconfig)] {
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

    fn listeners(&self) -> MutexGuard<'_, Vec<Serving>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options(spec: &ClusterSpec) -> Options {
    let cidrs = spec.service_cidrs.iter();
    Options {
        service_cidrs: cidrs.map(|cidr| (cidr.network(), cidr.prefix_len())).collect(),
        ..Options::default()
    }
}
