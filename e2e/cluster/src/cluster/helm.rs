//! The Helm chart in a cluster.

use anyhow::{Context as _, Result};

use super::Cluster;
use crate::process::{Launch, Output, repository, tool};

/// Name of the release.
pub const RELEASE: &str = "kpr";
/// Its namespace.
pub const NAMESPACE: &str = "kube-system";

impl Cluster {
    /// `helm …` on this machine, in the source tree's root, for this cluster.
    pub fn helm(&self) -> Result<Launch> {
        let home = self.testbed.dir().join("helm");
        Ok(self
            .testbed
            .launch_here(tool("helm")?)?
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", &home)
            .in_directory(repository()?))
    }

    /// `helm install` or `helm upgrade` of the chart, with these values beside the address of the API server. Waits until
    /// everything that it makes is ready.
    pub async fn helm_release(&self, action: &str, values: &[&str]) -> Result<Output> {
        let api = self
            .testbed
            .spec()
            .api_endpoint()
            .context("the first node has no address")?;
        let mut launch = self
            .helm()?
            .args([
                action,
                RELEASE,
                "charts/kpr",
                "--namespace",
                NAMESPACE,
                "--wait",
                "--timeout",
                "3m",
            ])
            .args(["--set", &format!("k8sServiceHost={}", api.ip())])
            .args(["--set", &format!("k8sServicePort={}", api.port())]);
        for value in values {
            launch = launch.args(["--set", value]);
        }
        launch.output().await
    }
}
