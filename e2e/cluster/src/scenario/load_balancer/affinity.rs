//! Session affinity of clients behind a load balancer. Upstream's ESIPP ("external source IP preservation") is
//! `externalTrafficPolicy: Local`.

use anyhow::Result;
use serde_json::json;

use super::{ADDRESS, balancer};
use crate::{
    cluster::Cluster,
    scenario::{
        Vantage,
        probe::Probe,
        server_pods,
        service::{balance_load, create_service, patch_service},
    },
};

/// Upstream: "should have session affinity work for LoadBalancer service with ESIPP on"
pub async fn session_affinity_works_with_esipp_on(cluster: &mut Cluster) -> Result<()> {
    let sticky = Sticky::create(cluster, "Local").await?;
    sticky.turn(true).await
}

/// Upstream: "should be able to switch session affinity for LoadBalancer service with ESIPP on"
pub async fn session_affinity_can_be_switched_with_esipp_on(cluster: &mut Cluster) -> Result<()> {
    let sticky = Sticky::create(cluster, "Local").await?;
    for on in [true, false, true] {
        sticky.turn(on).await?;
    }
    Ok(())
}

/// Upstream: "should have session affinity work for LoadBalancer service with ESIPP off"
pub async fn session_affinity_works_with_esipp_off(cluster: &mut Cluster) -> Result<()> {
    let sticky = Sticky::create(cluster, "Cluster").await?;
    sticky.turn(true).await
}

/// Upstream: "should be able to switch session affinity for LoadBalancer service with ESIPP off"
pub async fn session_affinity_can_be_switched_with_esipp_off(cluster: &mut Cluster) -> Result<()> {
    let sticky = Sticky::create(cluster, "Cluster").await?;
    for on in [true, false, true] {
        sticky.turn(on).await?;
    }
    Ok(())
}

const NAME: &str = "sticky";

/// A load balancer that leads to node-a, with two pods there and one elsewhere.
struct Sticky<'c> {
    cluster: &'c Cluster,
    /// The pods that may answer.
    pods: Vec<&'static str>,
}

impl<'c> Sticky<'c> {
    /// Without affinity, and served by all that may answer.
    async fn create(cluster: &'c Cluster, policy: &str) -> Result<Self> {
        let places = [("sticky-1", "node-a"), ("sticky-2", "node-a"), ("sticky-3", "node-b")];
        server_pods(cluster, NAME, &places).await?;
        let spec = json!({
            "type": "LoadBalancer",
            "externalTrafficPolicy": policy,
            "ports": [{"port": 80}],
        });
        create_service(cluster, NAME, spec).await?;
        balance_load(cluster, NAME, &[(ADDRESS, "node-a")]).await?;
        let mut pods: Vec<&str> = places.iter().map(|(pod, _node)| *pod).collect();
        if policy == "Local" {
            pods.truncate(2);
        }
        let sticky = Self { cluster, pods };
        sticky.spreads().await?;
        Ok(sticky)
    }

    async fn turn(&self, on: bool) -> Result<()> {
        let affinity = if on { "ClientIP" } else { "None" };
        patch_service(self.cluster, NAME, json!({"sessionAffinity": affinity})).await?;
        if on {
            self.probe()?.sticks_eventually().await.map(|_pod| ())
        } else {
            self.spreads().await
        }
    }

    async fn spreads(&self) -> Result<()> {
        self.probe()?.answered_by(&self.pods).await.map(|_tally| ())
    }

    fn probe(&self) -> Result<Probe<'c>> {
        Ok(Probe::tcp(self.cluster, &Vantage::Outside, balancer(ADDRESS, 80)?))
    }
}
