//! A whole cluster: machines, control plane and, when asked, kpr.

mod control_plane;
mod doors;
mod helm;
mod kube_proxy;
mod pods;
mod programs;
mod wait;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use k8s_openapi::{api::networking::v1::ServiceCIDR, apimachinery::pkg::apis::meta::v1::Condition};
use kpr_apiserver::ApiServer;
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use self::control_plane::{ControlPlane, Identity};
pub use self::{
    helm::{NAMESPACE, RELEASE},
    wait::eventually,
};
use crate::{
    kube_proxy::Running,
    process::{Launch, Process, repository},
    spec::{ClusterSpec, ControlPlaneKind},
    testbed::Testbed,
};

/// A running cluster. Dropping it ends and removes everything.
pub struct Cluster {
    // In the order in which they end: programs, then the control plane, then the machines.
    operator: Option<Process>,
    agents: BTreeMap<String, Process>,
    kube_proxy: Option<Running>,
    client: Client,
    control_plane: Arc<ControlPlane>,
    testbed: Arc<Testbed>,
}

impl Cluster {
    /// Builds the cluster of `spec`. Its nodes are Ready when this returns; kpr is not installed.
    pub async fn start(spec: ClusterSpec) -> Result<Self> {
        let kind = match spec.control_plane {
            Some(kind) => kind,
            None => ControlPlaneKind::of_environment()?,
        };
        // Runs `ip` and waits for threads: not on a thread of the runtime.
        let (testbed, control_plane) = tokio::task::spawn_blocking(move || {
            let testbed = Arc::new(Testbed::build(&spec)?);
            let control_plane = ControlPlane::start(&testbed, kind).context("start the control plane")?;
            Ok::<_, anyhow::Error>((testbed, control_plane))
        })
        .await??;
        let client = control_plane.client(Identity::Scenario)?;
        let cluster = Self {
            operator: None,
            agents: BTreeMap::new(),
            kube_proxy: None,
            client,
            control_plane: Arc::new(control_plane),
            testbed,
        };
        cluster.write_doors()?;
        Ok(cluster)
    }

    /// The same cluster, seen from a namespace: [`Self::client`] uses it where a request names none. It must go before the
    /// cluster does, and has no programs to start or stop.
    pub fn in_namespace(&self, namespace: &str) -> Result<Self> {
        Ok(Self {
            operator: None,
            agents: BTreeMap::new(),
            kube_proxy: None,
            client: self.control_plane.client_in(Identity::Scenario, namespace)?,
            control_plane: Arc::clone(&self.control_plane),
            testbed: Arc::clone(&self.testbed),
        })
    }

    /// Its machines.
    pub fn testbed(&self) -> &Testbed {
        &self.testbed
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its API server, for faults to order: those that only the in-memory one can make.
    pub fn api_server(&self) -> Result<&ApiServer> {
        let in_memory = self.control_plane.in_memory();
        in_memory.context("this cluster has a real API server, which makes no faults to order")
    }

    /// Takes the API server off the network: watches end, and nobody listens any more. What it knows stays. Of the in-memory one
    /// [`Self::client`] goes on, because it is in this process.
    pub async fn stop_api_server(&self) -> Result<()> {
        self.control_plane.stop_serving().await
    }

    /// Lets the API server listen again where it did.
    pub async fn start_api_server(&self) -> Result<()> {
        let control_plane = Arc::clone(&self.control_plane);
        let testbed = Arc::clone(&self.testbed);
        // Enters a namespace on a thread of its own and waits for it.
        tokio::task::spawn_blocking(move || control_plane.serve_again(&testbed)).await?
    }

    /// Lets Services ask for addresses of another range too.
    pub async fn add_service_cidr(&self, cidr: IpNet) -> Result<()> {
        if let Some(server) = self.control_plane.in_memory() {
            server.add_service_cidr((cidr.network(), cidr.prefix_len()));
            return Ok(());
        }
        let cidrs: Api<ServiceCIDR> = Api::all(self.client());
        let object = serde_json::from_value(json!({"metadata": {"name": "another"}, "spec": {"cidrs": [cidr]}}))?;
        cidrs.create(&PostParams::default(), &object).await?;
        eventually("the new range is served", Duration::from_secs(20), || async {
            let status = cidrs.get("another").await?.status.unwrap_or_default();
            let ready = |condition: &Condition| condition.type_ == "Ready" && condition.status == "True";
            Ok(if status.conditions.iter().flatten().any(ready) {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            })
        })
        .await
    }

    /// What the service accounts of kube-system have asked the API server for, if it writes that down.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.control_plane.audit_log()
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
        Ok(self
            .testbed
            .launch_here("kubectl")?
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.testbed.dir())
            .in_directory(repository()?))
    }
}
