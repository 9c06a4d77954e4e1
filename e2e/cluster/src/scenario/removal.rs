//! An orderly end.

use anyhow::{Result, ensure};

use super::{TCP_PORT, Vantage, Workload, install};
use crate::{
    cluster::Cluster,
    inspect::{Sysctls, Traces},
};

/// Deleting the KubeProxyReplacement takes every program, pin and changed sysctl off the nodes. The cluster must be
/// without kpr when this starts.
pub async fn nothing_is_left_on_the_nodes(cluster: &mut Cluster) -> Result<()> {
    let before = Before::of(cluster)?;
    install::kpr(cluster).await?;
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    web.served(
        cluster,
        &Vantage::Outside,
        web.node_port(cluster, "node-a", TCP_PORT)?,
        2,
    )
    .await?;
    for (node, traces) in traces(cluster)? {
        // Else this scenario would look in the wrong places, and could not fail.
        ensure!(
            traces.programs.iter().any(|hook| hook.starts_with("cgroup/")),
            "{node}: {traces:?}"
        );
        ensure!(
            traces.programs.iter().any(|hook| hook.starts_with("tc")),
            "{node}: {traces:?}"
        );
        ensure!(!traces.pins.is_empty(), "{node}: {traces:?}");
    }

    install::remove(cluster).await?;
    before.is_restored(cluster)
}

/// The nodes before kpr came.
pub(super) struct Before(Vec<(String, Sysctls)>);

impl Before {
    /// The nodes as they are; nothing of kpr may be there.
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        for (node, traces) in traces(cluster)? {
            ensure!(traces.is_empty(), "{node} had {traces:?} before kpr came");
        }
        Ok(Self(sysctls(cluster)?))
    }

    /// Fails if kpr has left anything.
    pub(super) fn is_restored(&self, cluster: &Cluster) -> Result<()> {
        for (node, traces) in traces(cluster)? {
            ensure!(traces.is_empty(), "kpr left on {node}: {traces:?}");
        }
        for ((node, before), (_, after)) in self.0.iter().zip(sysctls(cluster)?) {
            let changes = before.changes(&after);
            ensure!(changes.is_empty(), "kpr left sysctls of {node} changed: {changes:?}");
        }
        Ok(())
    }
}

fn traces(cluster: &Cluster) -> Result<Vec<(String, Traces)>> {
    let hosts = cluster.testbed().hosts().iter();
    hosts
        .map(|host| Ok((host.spec.name.clone(), Traces::of(host)?)))
        .collect()
}

fn sysctls(cluster: &Cluster) -> Result<Vec<(String, Sysctls)>> {
    let hosts = cluster.testbed().hosts().iter();
    hosts
        .map(|host| Ok((host.spec.name.clone(), Sysctls::of(&host.netns)?)))
        .collect()
}
