//! Ways that a NodePort's packets take: backends in a node's own network, clients that ask themselves, nodes with several devices.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::json;

use super::{
    Probe, ServerPod, Vantage, install, seen, server_pods,
    service::{cluster_ip, create_service, node_port},
};
use crate::{
    address::Family,
    cluster::Cluster,
    kube_proxy::desired::Protocol,
    net::{RealCable, SECOND_UPLINK},
};

/// A NodePort Service for TCP and UDP in front of the pods with the label `app: web`.
async fn service(cluster: &Cluster) -> Result<Service> {
    let ports = json!([
        {"name": "tcp", "port": 80, "targetPort": "tcp", "protocol": "TCP"},
        {"name": "udp", "port": 80, "targetPort": "udp", "protocol": "UDP"},
    ]);
    create_service(cluster, "web", json!({"type": "NodePort", "ports": ports})).await
}

/// Asks the Service at a node over both protocols: all of `pods` answer, and see one of `clients(protocol)`.
async fn answers(
    cluster: &Cluster,
    service: &Service,
    from: &Vantage,
    at: IpAddr,
    pods: &[&str],
    clients: impl Fn(Protocol) -> Result<Vec<IpAddr>>,
) -> Result<()> {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let port = node_port(cluster, service, "node-a", protocol.as_str())?.port();
        let target = SocketAddr::new(at, port);
        let probe = if protocol == Protocol::Udp {
            Probe::udp(cluster, from, target)
        } else {
            Probe::tcp(cluster, from, target)
        };
        let clients = clients(protocol)?;
        probe.answered_by(pods).await?;
        seen::settled(cluster, from, target, protocol, &clients).await?;
        let tally = probe.answered_by(pods).await?;
        ensure!(
            tally.seen_as.iter().all(|client| clients.contains(client)),
            "{probe} should be seen as one of {clients:?}: {tally:?}"
        );
    }
    Ok(())
}

/// A pod in its node's own network answers at both nodes: at its own it sees the client, at the other one that node, or with DSR the client.
pub async fn a_host_network_pod_is_a_backend_on_either_node(cluster: &mut Cluster) -> Result<()> {
    let pod = ServerPod::of("web", "web").on_node("node-a").host_network();
    let pod = pod.port("tcp", 8080, "TCP").port("udp", 8080, "UDP");
    pod.create(cluster).await?;
    let service = service(cluster).await?;
    let (node_a, node_b) = (cluster.node_address("node-a")?, cluster.node_address("node-b")?);
    let itself = |_| Ok(vec![cluster.client_address()?]);
    let through_b = |protocol| {
        let seen = seen::behind_another_node(cluster, "node-b", Family::V4, protocol)?;
        Ok(vec![seen])
    };
    answers(cluster, &service, &Vantage::Outside, node_a, &["web"], itself).await?;
    answers(cluster, &service, &Vantage::Outside, node_b, &["web"], through_b).await
}

/// A pod that is the only backend reaches itself by either node's NodePort and by the ClusterIP.
pub async fn a_pod_reaches_itself(cluster: &mut Cluster) -> Result<()> {
    let pods = server_pods(cluster, "web", &[("web", "node-a")]).await?;
    let [pod]: [Pod; 1] = pods.try_into().map_err(|_| anyhow::anyhow!("not one pod"))?;
    let service = service(cluster).await?;
    let from = Vantage::pod(&pod);
    for target in [
        node_port(cluster, &service, "node-a", "tcp")?,
        node_port(cluster, &service, "node-b", "tcp")?,
        cluster_ip(&service, 80)?,
    ] {
        Probe::tcp(cluster, &from, target).answered_by(&["web"]).await?;
    }
    for target in [
        node_port(cluster, &service, "node-a", "udp")?,
        node_port(cluster, &service, "node-b", "udp")?,
        cluster_ip(&service, 80)?,
    ] {
        Probe::udp(cluster, &from, target).answered_by(&["web"]).await?;
    }
    Ok(())
}

/// A node with a second device, in another network: a client there is answered by that device, whether the backend is on this node or
/// behind the first device. The device comes while kpr runs. For a cluster without kpr.
pub async fn clients_of_a_second_network_are_served_by_its_device(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(cluster, json!({"mode": "Strict", "devices": ["eth*"]})).await?;
    server_pods(cluster, "web", &[("near", "node-a"), ("far", "node-b")]).await?;
    let service = service(cluster).await?;
    let both = ["near", "far"];
    let (first, here) = (cluster.node_address("node-a")?, cluster.client_address()?);
    // The near pod sees the client itself; the far one does with DSR.
    let through = &*cluster;
    let seen = |client: IpAddr| {
        move |protocol| {
            let far = seen::behind_another_node(through, "node-a", Family::V4, protocol)?;
            Ok(vec![client, if far == here { client } else { far }])
        }
    };
    answers(cluster, &service, &Vantage::Outside, first, &both, seen(here)).await?;

    let _cable = second_network(cluster).await?;
    let (second, there) = ([192, 168, 50, 2].into(), [192, 168, 50, 100].into());
    answers(cluster, &service, &Vantage::Outside, second, &both, seen(there)).await?;
    answers(cluster, &service, &Vantage::Outside, first, &both, seen(here)).await
}

/// A cable between node-a and the client, 192.168.50.0/24.
async fn second_network(cluster: &Cluster) -> Result<RealCable> {
    let node = cluster.testbed().host("node-a")?.netns.clone();
    let client = cluster.testbed().client().clone();
    // Runs `ip`: not on a thread of the runtime.
    tokio::task::spawn_blocking(move || {
        node.ip(&[format!(
            "link add eth1 type veth peer name eth1 netns {}",
            client.name()
        )])?;
        // Before anything is sent by it.
        let cable = RealCable::if_asked_for((&node, SECOND_UPLINK), (&client, SECOND_UPLINK))?;
        client.ip(&["addr add 192.168.50.100/24 dev eth1", "link set eth1 up"])?;
        node.ip(&["addr add 192.168.50.2/24 dev eth1", "link set eth1 up"])?;
        Ok(cable)
    })
    .await?
}
