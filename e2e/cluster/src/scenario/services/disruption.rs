//! Services while what serves them starts again.

use anyhow::{Result, ensure};

use super::ThreePods;
use crate::{
    cluster::Cluster,
    scenario::{Vantage, client_pod},
};

/// Services from before the agents' end are served while no agent runs and after they are back; so is one that came meanwhile.
///
/// Upstream: "should work after restarting kube-proxy"
pub async fn should_work_after_restarting_kube_proxy(cluster: &mut Cluster) -> Result<()> {
    let service1 = ThreePods::start(cluster, "restart-proxy-1").await?;
    let service2 = ThreePods::start(cluster, "restart-proxy-2").await?;
    ensure!(
        service1.cluster_ip()? != service2.cluster_ip()?,
        "two Services have {}",
        service1.cluster_ip()?
    );
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    service1.is_up(cluster, &from).await?;
    service2.is_up(cluster, &from).await?;

    for node in cluster.node_names() {
        cluster.kill_agent(&node).await?;
    }
    service1.is_up(cluster, &from).await?;
    let meanwhile = ThreePods::start(cluster, "restart-proxy-3").await?;
    cluster.start_agents().await?;
    meanwhile.is_up(cluster, &from).await?;
    service1.is_up(cluster, &from).await?;
    service2.is_up(cluster, &from).await?;
    cluster.check_programs()
}

/// A Service from before the API server's end is served while it is away and after it is back; one that comes then gets another
/// address and is served, too.
///
/// Upstream: "should work after restarting apiserver"
pub async fn should_work_after_restarting_apiserver(cluster: &mut Cluster) -> Result<()> {
    let service1 = ThreePods::start(cluster, "restart-apiserver-1").await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    service1.is_up(cluster, &from).await?;

    cluster.stop_api_server().await?;
    service1.is_up(cluster, &from).await?;
    cluster.start_api_server().await?;
    service1.is_up(cluster, &from).await?;

    let service2 = ThreePods::start(cluster, "restart-apiserver-2").await?;
    ensure!(
        service1.cluster_ip()? != service2.cluster_ip()?,
        "two Services have {}",
        service1.cluster_ip()?
    );
    service1.is_up(cluster, &from).await?;
    service2.is_up(cluster, &from).await?;
    cluster.check_programs()
}
