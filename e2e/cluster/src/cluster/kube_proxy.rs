//! A kube-proxy on every node, if a scenario wants one.

use anyhow::{Context as _, Result, ensure};

use super::{Cluster, control_plane::Identity};
use crate::kube_proxy::{KubeProxyMode, Running, desired::ServicePort};

impl Cluster {
    /// Starts kube-proxy on every node, and returns when it has programmed the Services that there are.
    pub async fn start_kube_proxy(&mut self, mode: KubeProxyMode) -> Result<()> {
        self.start_kube_proxy_with(mode, Vec::new()).await
    }

    /// The same, with ports of Services that are not in the API (see [`crate::kube_proxy::desired::generate`]).
    pub async fn start_kube_proxy_with(&mut self, mode: KubeProxyMode, extra: Vec<ServicePort>) -> Result<()> {
        ensure!(self.kube_proxy.is_none(), "kube-proxy runs already");
        let client = |node: &str| self.control_plane.client(Identity::KubeProxy(node));
        let running = Running::start(&self.testbed, mode, client, extra).await;
        self.kube_proxy = Some(running.with_context(|| format!("start kube-proxy in mode {mode}"))?);
        Ok(())
    }

    /// The kube-proxy that runs.
    pub fn kube_proxy(&self) -> Result<&Running> {
        self.kube_proxy.as_ref().context("no kube-proxy runs")
    }

    /// Ends kube-proxy on every node, and leaves its rules, as the deletion of its DaemonSet does.
    pub async fn stop_kube_proxy(&mut self) -> Result<()> {
        self.kube_proxy.take().context("no kube-proxy runs")?.stop().await;
        Ok(())
    }

    /// Ends kube-proxy on every node and removes its rules, as `kube-proxy --cleanup` does.
    pub async fn remove_kube_proxy(&mut self) -> Result<()> {
        let running = self.kube_proxy.take().context("no kube-proxy runs")?;
        running.stop_and_clean_up().await
    }
}
