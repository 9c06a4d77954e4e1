//! A whole cluster: machines, control plane and, when asked, kpr.

mod control_plane;
mod doors;
mod kubernetes_service;
mod pods;
mod programs;
mod wait;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use kpr_apiserver::ApiServer;
use kube::Client;

use self::control_plane::ControlPlane;
pub use self::wait::eventually;
use crate::{
    process::{Launch, Process, repository},
    spec::ClusterSpec,
    testbed::Testbed,
};

/// A running cluster. Dropping it ends and removes everything.
pub struct Cluster {
    // In the order in which they end: programs, then the control plane, then the machines.
    operator: Option<Process>,
    agents: BTreeMap<String, Process>,
    client: Client,
    control_plane: ControlPlane,
    testbed: Arc<Testbed>,
}

impl Cluster {
    /// Builds the cluster of `spec`. Its nodes are Ready when this returns; kpr is not installed.
    pub async fn start(spec: ClusterSpec) -> Result<Self> {
        // Runs `ip` and waits for threads: not on a thread of the runtime.
        let (testbed, control_plane) = tokio::task::spawn_blocking(move || {
            let testbed = Arc::new(Testbed::build(&spec)?);
            let control_plane = ControlPlane::start(&testbed).context("start the control plane")?;
            Ok::<_, anyhow::Error>((testbed, control_plane))
        })
        .await??;
        let client = control_plane.api.client_as("kpr-cluster-scenario");
        let cluster = Self {
            operator: None,
            agents: BTreeMap::new(),
            client,
            control_plane,
            testbed,
        };
        cluster.write_doors()?;
        Ok(cluster)
    }

    /// Its machines.
    pub fn testbed(&self) -> &Testbed {
        &self.testbed
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its API server, for faults to order.
    pub fn api_server(&self) -> &ApiServer {
        &self.control_plane.api
    }

    /// How this machine reaches its API.
    pub fn kubeconfig(&self) -> &Path {
        &self.control_plane.kubeconfig
    }

    /// How its nodes reach its API.
    pub fn node_kubeconfig(&self) -> &Path {
        &self.control_plane.node_kubeconfig
    }

    /// Names of its nodes.
    pub fn node_names(&self) -> Vec<String> {
        self.testbed.hosts().iter().map(|host| host.spec.name.clone()).collect()
    }

    /// `kubectl …` on this machine, in the source tree's root, with its caches inside the cluster's directory.
    pub fn kubectl(&self) -> Result<Launch> {
        Ok(Launch::new("kubectl")
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.testbed.dir())
            .in_directory(repository()?))
    }
}
