//! Services whose type and ports change.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use serde_json::{Value, json};

use super::{ADDRESS, balancer};
use crate::{
    cluster::Cluster,
    scenario::{
        POD_PORT, ServerPod, Vantage, client_pod, delete_pod,
        probe::Probe,
        service::{balance_load, cluster_ip, create_service, node_port, patch_service, stop_balancing},
    },
};

/// A Service becomes a NodePort, then a load balancer, gets another NodePort, another port, no pod, a pod again, and is a ClusterIP
/// at the end. At each step it is served where it should be, and nowhere else.
///
/// Upstream: "should be able to change the type and ports of a TCP service"
pub async fn type_and_ports_of_a_tcp_service_change(cluster: &mut Cluster) -> Result<()> {
    change_type_and_ports(cluster, "TCP").await
}

/// The same by datagrams; without a pod they are rejected by ICMP, and not dropped.
///
/// Upstream: "should be able to change the type and ports of a UDP service"
pub async fn type_and_ports_of_a_udp_service_change(cluster: &mut Cluster) -> Result<()> {
    change_type_and_ports(cluster, "UDP").await
}

/// A load balancer needs no NodePort, and may get one later.
///
/// Upstream: "should be able to create LoadBalancer Service without NodePort and change it"
pub async fn a_service_without_node_ports_is_served_and_gets_them_later(cluster: &mut Cluster) -> Result<()> {
    let mut web = Changing::create(cluster, "TCP").await?;
    web.patch(json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}))
        .await?;
    balance_load(cluster, NAME, &[(ADDRESS, "node-b")]).await?;
    ensure!(web.node_port().is_none(), "a NodePort was given: {:?}", web.service);
    web.served_by("web-1", 80, true).await?;

    web.patch(json!({"allocateLoadBalancerNodePorts": true})).await?;
    ensure!(web.node_port().is_some(), "no NodePort was given: {:?}", web.service);
    web.served_by("web-1", 80, true).await
}

async fn change_type_and_ports(cluster: &Cluster, protocol: &'static str) -> Result<()> {
    let mut web = Changing::create(cluster, protocol).await?;
    web.served_by("web-1", 80, false).await?;

    web.patch(json!({"type": "NodePort"})).await?;
    let first = web.node_port().context("the Service has no NodePort")?;
    web.served_by("web-1", 80, false).await?;

    web.patch(json!({"type": "LoadBalancer"})).await?;
    balance_load(cluster, NAME, &[(ADDRESS, "node-b")]).await?;
    ensure!(
        web.node_port() == Some(first),
        "the NodePort changed: {:?}",
        web.service
    );
    web.served_by("web-1", 80, true).await?;

    let second = if first == 31_000 { 31_001 } else { 31_000 };
    web.patch(json!({"ports": [port(protocol, 80, second)]})).await?;
    web.served_by("web-1", 80, true).await?;
    for node in cluster.node_names() {
        let old = SocketAddr::new(cluster.node_address(&node)?, u16::try_from(first)?);
        web.probe(&Vantage::Outside, old).refused().await?;
    }

    web.patch(json!({"ports": [port(protocol, 81, second)]})).await?;
    ensure!(
        web.node_port() == Some(second),
        "the NodePort changed: {:?}",
        web.service
    );
    web.served_by("web-1", 81, true).await?;
    web.probe(&Vantage::Outside, balancer(ADDRESS, 80)?)
        .unanswered()
        .await?;

    delete_pod(cluster, "web-1").await?;
    web.probe(&Vantage::Outside, balancer(ADDRESS, 81)?).refused().await?;
    ServerPod::of(NAME, "web-2").on_node("node-a").create(cluster).await?;
    web.served_by("web-2", 81, true).await?;

    let outside: Vec<SocketAddr> = web.node_port_targets()?;
    web.patch(json!({"type": "ClusterIP"})).await?;
    stop_balancing(cluster, NAME).await?;
    ensure!(web.node_port().is_none(), "the NodePort stayed: {:?}", web.service);
    web.probe(&Vantage::Outside, balancer(ADDRESS, 81)?)
        .unanswered()
        .await?;
    for target in outside {
        web.probe(&Vantage::Outside, target).refused().await?;
    }
    web.served_by("web-2", 81, false).await
}

const NAME: &str = "web";

/// A Service that changes, and a pod that asks it.
struct Changing<'c> {
    cluster: &'c Cluster,
    protocol: &'static str,
    inside: Vantage,
    service: Service,
}

impl<'c> Changing<'c> {
    /// A ClusterIP with the pod `web-1`.
    async fn create(cluster: &'c Cluster, protocol: &'static str) -> Result<Self> {
        ServerPod::of(NAME, "web-1").on_node("node-a").create(cluster).await?;
        let inside = Vantage::pod(&client_pod(cluster, "node-b").await?);
        let spec = json!({"ports": [{"port": 80, "targetPort": POD_PORT, "protocol": protocol}]});
        Ok(Self {
            cluster,
            protocol,
            inside,
            service: create_service(cluster, NAME, spec).await?,
        })
    }

    async fn patch(&mut self, spec: Value) -> Result<()> {
        self.service = patch_service(self.cluster, NAME, spec).await?;
        Ok(())
    }

    fn probe<'p>(&'p self, from: &'p Vantage, target: SocketAddr) -> Probe<'p> {
        match self.protocol {
            "UDP" => Probe::udp(self.cluster, from, target),
            _ => Probe::tcp(self.cluster, from, target),
        }
    }

    fn node_port(&self) -> Option<i32> {
        let mut ports = self.service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        ports.find_map(|port: &ServicePort| port.node_port)
    }

    /// Its NodePort on every node; none if it has none.
    fn node_port_targets(&self) -> Result<Vec<SocketAddr>> {
        if self.node_port().is_none() {
            return Ok(Vec::new());
        }
        let nodes = self.cluster.node_names();
        nodes
            .iter()
            .map(|node| node_port(self.cluster, &self.service, node, ""))
            .collect()
    }

    /// Waits until `pod` answers wherever the Service is reached as it is now.
    async fn served_by(&self, pod: &str, port: u16, balanced: bool) -> Result<()> {
        let own = cluster_ip(&self.service, port)?;
        self.probe(&self.inside, own).answered_by(&[pod]).await?;
        for target in self.node_port_targets()? {
            for from in [&self.inside, &Vantage::Outside] {
                self.probe(from, target).answered_by(&[pod]).await?;
            }
        }
        if balanced {
            let target = balancer(ADDRESS, port)?;
            self.probe(&Vantage::Outside, target).answered_by(&[pod]).await?;
        }
        Ok(())
    }
}

fn port(protocol: &str, number: u16, node_port: i32) -> Value {
    json!({"port": number, "targetPort": POD_PORT, "protocol": protocol, "nodePort": node_port})
}
