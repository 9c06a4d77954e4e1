//! "Granular Checks: Services" of `test/e2e/network/networking.go`: a Service with a NodePort, and a pod of it on every node. Upstream
//! asks through one node; here it is every one.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};

use super::{
    ServerPod, Vantage, client_pod, delete_pod,
    probe::Probe,
    seen, server_pods,
    service::{cluster_ip, create_service, delete_service, node_port, patch_service},
};
use crate::{client::Echoes, cluster::Cluster, kube_proxy::desired};

const NAME: &str = "nettest";
const PODS: [(&str, &str); 2] = [("netserver-a", "node-a"), ("netserver-b", "node-b")];
/// Ports of the Service.
const HTTP: u16 = 80;
const UDP: u16 = 90;

/// Bodies of upstream's large requests: more than one packet, and as datagrams more than one fragment.
const LARGE: usize = 2_000;

/// Upstream: "should function for pod-Service: http"
pub async fn pods_reach_every_endpoint_by_http(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    net.reached(&from, Protocol::Http).await
}

/// Upstream: "should function for pod-Service: udp"
pub async fn pods_reach_every_endpoint_by_udp(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    net.reached(&from, Protocol::Udp).await
}

/// Upstream: "should function for node-Service: http"
pub async fn nodes_reach_every_endpoint_by_http(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    net.reached(&Vantage::node("node-a"), Protocol::Http).await
}

/// Upstream: "should function for node-Service: udp"
pub async fn nodes_reach_every_endpoint_by_udp(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    net.reached(&Vantage::node("node-a"), Protocol::Udp).await
}

/// An endpoint reaches all, itself included.
///
/// Upstream: "should function for endpoint-Service: http"
pub async fn endpoints_reach_every_endpoint_by_http(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    net.reached(&net.endpoint(), Protocol::Http).await
}

/// Upstream: "should function for endpoint-Service: udp"
pub async fn endpoints_reach_every_endpoint_by_udp(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    net.reached(&net.endpoint(), Protocol::Udp).await
}

/// When one of two Services with the same pods goes, the other stays as it is.
///
/// Upstream: "should function for multiple endpoint-Services with same selector"
pub async fn two_services_with_the_same_selector_live_apart(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = net.endpoint();
    let mut spec = spec();
    spec["selector"] = json!({"app": NAME});
    let second = Net {
        service: create_service(cluster, "second", spec).await?,
        ..net.clone()
    };
    net.reached(&from, Protocol::Http).await?;
    second.reached(&from, Protocol::Http).await?;

    delete_service(cluster, NAME).await?;
    net.stops(&from, Protocol::Http).await?;
    second.reached(&from, Protocol::Http).await
}

/// A pod that is deleted gets no request any more, one that takes its place does.
///
/// Upstream: "should update endpoints: http"
pub async fn endpoints_are_updated_for_http(cluster: &mut Cluster) -> Result<()> {
    endpoints_are_updated(cluster, Protocol::Http).await
}

/// Upstream: "should update endpoints: udp"
pub async fn endpoints_are_updated_for_udp(cluster: &mut Cluster) -> Result<()> {
    endpoints_are_updated(cluster, Protocol::Udp).await
}

async fn endpoints_are_updated(cluster: &Cluster, protocol: Protocol) -> Result<()> {
    let mut net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    net.reached(&from, protocol).await?;
    delete_pod(cluster, "netserver-b").await?;
    net.pods.truncate(1);
    net.reached(&from, protocol).await?;
    let another = ServerPod::of(NAME, "netserver-c").on_node("node-b");
    net.pods.push(another.create(cluster).await?);
    net.reached(&from, protocol).await
}

/// A NodePort whose Service is deleted is dead.
///
/// Upstream: "should update nodePort: http"
pub async fn a_deleted_node_port_is_dead_for_http(cluster: &mut Cluster) -> Result<()> {
    a_deleted_node_port_is_dead(cluster, Protocol::Http).await
}

/// Upstream: "should update nodePort: udp"
pub async fn a_deleted_node_port_is_dead_for_udp(cluster: &mut Cluster) -> Result<()> {
    a_deleted_node_port_is_dead(cluster, Protocol::Udp).await
}

async fn a_deleted_node_port_is_dead(cluster: &Cluster, protocol: Protocol) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::node("node-a");
    for vantage in [&from, &Vantage::Outside] {
        net.reached_at_nodes(vantage, protocol).await?;
    }
    delete_service(cluster, NAME).await?;
    for vantage in [&from, &Vantage::Outside] {
        net.stops_at_nodes(vantage, protocol).await?;
    }
    Ok(())
}

/// Upstream: "should support basic nodePort: udp functionality"
pub async fn node_ports_work_for_udp(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    for from in [Vantage::node("node-a"), Vantage::Outside] {
        net.reached_at_nodes(&from, Protocol::Udp).await?;
    }
    Ok(())
}

/// Upstream: "should function for client IP based session affinity: http"
pub async fn session_affinity_works_for_http(cluster: &mut Cluster) -> Result<()> {
    session_affinity_works(cluster, Protocol::Http).await
}

/// Upstream: "should function for client IP based session affinity: udp"
pub async fn session_affinity_works_for_udp(cluster: &mut Cluster) -> Result<()> {
    session_affinity_works(cluster, Protocol::Udp).await
}

async fn session_affinity_works(cluster: &Cluster, protocol: Protocol) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    // So that it is affinity that makes the difference, and not that only one endpoint is known yet.
    net.reached(&from, protocol).await?;
    patch_service(cluster, NAME, json!({"sessionAffinity": "ClientIP"})).await?;
    let probe = net.probe(&from, net.cluster_ip(protocol)?, protocol);
    probe.sticks_eventually().await.map(|_pod| ())
}

/// Upstream: "should be able to handle large requests: http"
pub async fn large_requests_pass_by_http(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    large_requests_pass(&net, &from, Protocol::Http).await
}

/// Upstream: "should be able to handle large requests: udp"
pub async fn large_requests_pass_by_udp(cluster: &mut Cluster) -> Result<()> {
    let net = Net::create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    large_requests_pass(&net, &from, Protocol::Udp).await
}

/// Upstream asks the ClusterIP; here the outside asks the NodePorts too, where fragments are translated on the way. With DSR it may be told
/// once by each node that fragments have to be smaller, because headers come in front of them; then all pass.
async fn large_requests_pass(net: &Net<'_>, inside: &Vantage, protocol: Protocol) -> Result<()> {
    const COUNT: u32 = 20;
    let all = Echoes {
        equal: COUNT,
        ..Echoes::default()
    };
    let all_but_one = Echoes {
        equal: COUNT - 1,
        failures: [("EMSGSIZE".to_owned(), 1)].into(),
        ..Echoes::default()
    };
    let mut asked = vec![(inside, net.cluster_ip(protocol)?)];
    asked.extend(
        net.node_ports(protocol)?
            .into_iter()
            .map(|target| (&Vantage::Outside, target)),
    );
    for (from, target) in asked {
        net.reached_at(from, target, protocol).await?;
        let echoes = from
            .echo(net.cluster, target, protocol == Protocol::Udp, LARGE, COUNT)
            .await?;
        let is_told = matches!(from, Vantage::Outside)
            && protocol == Protocol::Udp
            && seen::packets_are_encapsulated(desired::Protocol::Udp)?;
        let passed = echoes == all || is_told && echoes == all_but_one;
        ensure!(passed, "{protocol:?} from {from} to {target}: {echoes:?}");
    }
    Ok(())
}

/// Endpoints in their nodes' own network are reached like any, from pods and nodes, with large requests too.
///
/// For a cluster of shape `Ptp`: where a node has an address on its pods' bridge, a server that takes datagrams at any address answers
/// pods of its node from that one, and they expect another. No proxy changes that.
///
/// Upstream: "should function for service endpoints using hostNetwork"
pub async fn endpoints_in_the_nodes_network_are_reached(cluster: &mut Cluster) -> Result<()> {
    let mut pods = Vec::new();
    for (name, node) in PODS {
        let pod = ServerPod::of(NAME, name)
            .on_node(node)
            .host_network()
            .port("http", 8_080, "TCP")
            .port("udp", 8_081, "UDP");
        pods.push(pod.create(cluster).await?);
    }
    let mut spec = spec();
    spec["ports"][0]["targetPort"] = json!(8_080);
    spec["ports"][1]["targetPort"] = json!(8_081);
    let net = Net {
        cluster,
        pods,
        service: create_service(cluster, NAME, spec).await?,
    };
    let pod = Vantage::pod(&client_pod(cluster, "node-b").await?);
    for protocol in [Protocol::Http, Protocol::Udp] {
        for from in [&pod, &Vantage::node("node-a")] {
            net.reached(from, protocol).await?;
        }
        large_requests_pass(&net, &pod, protocol).await?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Udp,
}

/// The Service and its pods.
#[derive(Clone)]
struct Net<'c> {
    cluster: &'c Cluster,
    pods: Vec<Pod>,
    service: Service,
}

fn spec() -> Value {
    json!({
        "type": "NodePort",
        "ports": [
            {"name": "http", "port": HTTP, "targetPort": "tcp", "protocol": "TCP"},
            {"name": "udp", "port": UDP, "targetPort": "udp", "protocol": "UDP"},
        ],
    })
}

impl<'c> Net<'c> {
    async fn create(cluster: &'c Cluster) -> Result<Self> {
        Ok(Self {
            cluster,
            pods: server_pods(cluster, NAME, &PODS).await?,
            service: create_service(cluster, NAME, spec()).await?,
        })
    }

    /// In the first of its pods.
    fn endpoint(&self) -> Vantage {
        Vantage::pod(&self.pods[0])
    }

    fn probe<'p>(&'p self, from: &'p Vantage, target: SocketAddr, protocol: Protocol) -> Probe<'p> {
        match protocol {
            Protocol::Http => Probe::tcp(self.cluster, from, target),
            Protocol::Udp => Probe::udp(self.cluster, from, target),
        }
    }

    fn cluster_ip(&self, protocol: Protocol) -> Result<SocketAddr> {
        let port = match protocol {
            Protocol::Http => HTTP,
            Protocol::Udp => UDP,
        };
        cluster_ip(&self.service, port)
    }

    /// Its NodePort of this protocol, on every node.
    fn node_ports(&self, protocol: Protocol) -> Result<Vec<SocketAddr>> {
        let name = match protocol {
            Protocol::Http => "http",
            Protocol::Udp => "udp",
        };
        let nodes = self.cluster.node_names();
        nodes
            .iter()
            .map(|node| node_port(self.cluster, &self.service, node, name))
            .collect()
    }

    /// Every pod, and nobody else, answers at the ClusterIP and at every node.
    async fn reached(&self, from: &Vantage, protocol: Protocol) -> Result<()> {
        self.reached_at(from, self.cluster_ip(protocol)?, protocol).await?;
        self.reached_at_nodes(from, protocol).await
    }

    async fn reached_at_nodes(&self, from: &Vantage, protocol: Protocol) -> Result<()> {
        for target in self.node_ports(protocol)? {
            self.reached_at(from, target, protocol).await?;
        }
        Ok(())
    }

    async fn reached_at(&self, from: &Vantage, target: SocketAddr, protocol: Protocol) -> Result<()> {
        let names: Vec<&str> = self
            .pods
            .iter()
            .filter_map(|pod| pod.metadata.name.as_deref())
            .collect();
        let probe = self.probe(from, target, protocol);
        probe.answered_by(&names).await.map(|_tally| ())
    }

    /// Nobody answers any more, at the ClusterIP or at any node.
    async fn stops(&self, from: &Vantage, protocol: Protocol) -> Result<()> {
        let target = self.cluster_ip(protocol)?;
        self.probe(from, target, protocol).unanswered().await?;
        self.stops_at_nodes(from, protocol).await
    }

    async fn stops_at_nodes(&self, from: &Vantage, protocol: Protocol) -> Result<()> {
        for target in self.node_ports(protocol)? {
            self.probe(from, target, protocol).refused().await?;
        }
        Ok(())
    }
}
