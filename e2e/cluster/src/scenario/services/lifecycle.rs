//! Services that come and go.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{ThreePods, http, one_pod};
use crate::{
    cluster::Cluster,
    scenario::{
        POD_PORT, Probe, Vantage, client_pod, host_network_client,
        service::{cluster_ip, create_service, delete_service},
    },
};

/// Of two Services one goes and the other one stays; a third comes and has an address of its own. So it is for a pod and for a
/// program on a node.
///
/// Upstream: "should be able to up and down services"
pub async fn should_be_able_to_up_and_down_services(cluster: &mut Cluster) -> Result<()> {
    let service1 = ThreePods::start(cluster, "up-down-1").await?;
    let service2 = ThreePods::start(cluster, "up-down-2").await?;
    let places = [
        Vantage::pod(&client_pod(cluster, "node-a").await?),
        Vantage::pod(&host_network_client(cluster, "node-a").await?),
    ];
    for from in &places {
        service1.is_up(cluster, from).await?;
        service2.is_up(cluster, from).await?;
    }

    service1.delete(cluster).await?;
    for from in &places {
        service1.is_down(cluster, from).await?;
        service2.is_up(cluster, from).await?;
    }

    let service3 = ThreePods::start(cluster, "up-down-3").await?;
    ensure!(
        service2.cluster_ip()? != service3.cluster_ip()?,
        "two Services have {}",
        service2.cluster_ip()?
    );
    for from in &places {
        service2.is_up(cluster, from).await?;
        service3.is_up(cluster, from).await?;
    }
    Ok(())
}

/// A Service of the name of one that was deleted is served like any other.
///
/// Upstream: "should work after the service has been recreated"
pub async fn should_work_after_the_service_has_been_recreated(cluster: &mut Cluster) -> Result<()> {
    let name = "service-deletion";
    let spec = json!({"ports": http()});
    one_pod(cluster, name).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);

    let service = create_service(cluster, name, spec.clone()).await?;
    let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    probe.answered_by(&[name]).await?;
    delete_service(cluster, name).await?;
    probe.unanswered().await?;

    let service = create_service(cluster, name, spec).await?;
    let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    probe.answered_by(&[name]).await.map(|_tally| ())
}
