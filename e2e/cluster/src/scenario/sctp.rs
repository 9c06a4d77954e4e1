//! Services of SCTP. Clients and servers speak it over raw sockets: the scenarios need nothing of the kernel's own SCTP.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod, seen,
    service::{cluster_ip_of, create_service, pod_ip_of},
};
use crate::{
    address::Family,
    client::Tally,
    cluster::{Cluster, eventually},
    kube_proxy::desired::Protocol,
};

const PATIENCE: Duration = Duration::from_secs(20);
const ASSOCIATIONS: u32 = 10;
/// The Service's port and its pod's.
const PORT: u16 = 5_060;
const TARGET_PORT: u16 = 15_060;

/// The Service serves, and nobody has loaded the kernel's SCTP for it.
///
/// Upstream: "should allow creating a basic SCTP service with pod and endpoints"
pub async fn a_service_needs_no_sctp_in_the_kernel(cluster: &mut Cluster) -> Result<()> {
    let before = kernel_has_sctp()?;
    let (service, _pod) = deploy(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for family in families(cluster) {
        answered(cluster, &from, cluster_ip_of(&service, family, PORT)?).await?;
    }
    ensure!(kernel_has_sctp()? == before, "the kernel's SCTP was loaded");
    Ok(())
}

/// With the only pod on node-a: through node-a it sees the client outside itself, through node-b that node, or with DSR the client.
pub async fn the_outside_reaches_a_local_and_a_remote_pod(cluster: &mut Cluster) -> Result<()> {
    let (service, _pod) = deploy(cluster).await?;
    for family in families(cluster) {
        for (node, expected) in [
            ("node-a", cluster.client_address_of(family)?),
            (
                "node-b",
                seen::behind_another_node(cluster, "node-b", family, Protocol::Sctp)?,
            ),
        ] {
            let target = SocketAddr::new(cluster.node_address_of(node, family)?, node_port(&service)?);
            answered(cluster, &Vantage::Outside, target).await?;
            seen::settled(cluster, &Vantage::Outside, target, Protocol::Sctp, &[expected]).await?;
            seen_as(cluster, &Vantage::Outside, target, expected).await?;
        }
    }
    Ok(())
}

/// With the only pod on node-a: pods of both nodes reach the ClusterIP, and the pod sees them as themselves.
///
/// Upstream: "should function for pod-Service: sctp"
pub async fn pods_reach_the_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    let (service, _pod) = deploy(cluster).await?;
    for node in cluster.node_names() {
        let client = client_pod(cluster, &node).await?;
        for family in families(cluster) {
            let target = cluster_ip_of(&service, family, PORT)?;
            seen_as(cluster, &Vantage::pod(&client), target, pod_ip_of(&client, family)?).await?;
        }
    }
    Ok(())
}

/// With the only pod on node-a: pods of both nodes reach the NodePort at either node's address.
pub async fn pods_reach_node_ports(cluster: &mut Cluster) -> Result<()> {
    let (service, _pod) = deploy(cluster).await?;
    for from in cluster.node_names() {
        let client = Vantage::pod(&client_pod(cluster, &from).await?);
        for to in cluster.node_names() {
            for family in families(cluster) {
                let target = SocketAddr::new(cluster.node_address_of(&to, family)?, node_port(&service)?);
                answered(cluster, &client, target).await?;
            }
        }
    }
    Ok(())
}

/// A pod that is the Service's only endpoint reaches itself by the ClusterIP.
///
/// Upstream: "should function for endpoint-Service: sctp"
pub async fn a_pod_reaches_itself(cluster: &mut Cluster) -> Result<()> {
    let (service, pod) = deploy(cluster).await?;
    for family in families(cluster) {
        answered(cluster, &Vantage::pod(&pod), cluster_ip_of(&service, family, PORT)?).await?;
    }
    Ok(())
}

/// Without endpoints a pod that asks the ClusterIP is refused, and does not wait.
pub async fn a_cluster_ip_without_endpoints_refuses_at_once(cluster: &mut Cluster) -> Result<()> {
    let service = create_service(cluster, "signal", spec()).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for family in families(cluster) {
        let target = cluster_ip_of(&service, family, PORT)?;
        // The node has no SCTP: protocol unreachable (RFC 792), or an unknown next header (RFC 4443), in the ClusterIP's name.
        let error = match family {
            Family::V4 => "ENOPROTOOPT",
            Family::V6 => "EPROTO",
        };
        eventually(&format!("{target} refuses {from}"), PATIENCE, || async {
            let tally = from.sctp(cluster, target, 1).await?;
            Ok(if tally.failures.contains_key(error) {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        })
        .await?;
    }
    Ok(())
}

/// `kpr status --verbose` says that programs are on pods' devices, and why, while there is such a Service.
pub async fn the_status_says_why_programs_are_on_pods_devices(cluster: &mut Cluster) -> Result<()> {
    let pod_devices = async || -> Result<String> {
        let kpr = cluster.kpr("node-a")?.args(["status", "--verbose"]);
        let page = kpr.output().await?.success()?;
        let line = page.lines().find(|line| line.trim_start().starts_with("Pod Devices:"));
        line.map(|line| line.trim().to_owned()).context("no line about them")
    };
    let without = pod_devices().await?;
    ensure!(without.contains("Disabled"), "{without}");
    deploy(cluster).await?;
    eventually("programs are on pods' devices", PATIENCE, || async {
        let line = pod_devices().await?;
        let expected = line.contains("Enabled") && line.ends_with("SCTP)");
        Ok(if expected { Ok(()) } else { Err(line) })
    })
    .await
}

/// A NodePort Service of SCTP whose port is not its pod's, and its pod on node-a.
async fn deploy(cluster: &Cluster) -> Result<(Service, Pod)> {
    let pod = ServerPod::of("signal", "signal")
        .on_node("node-a")
        .port("signal", TARGET_PORT, "SCTP");
    let pod = pod.create(cluster).await?;
    Ok((create_service(cluster, "signal", spec()).await?, pod))
}

fn spec() -> serde_json::Value {
    json!({
        "type": "NodePort",
        "ipFamilyPolicy": "PreferDualStack",
        "ports": [{"port": PORT, "targetPort": TARGET_PORT, "protocol": "SCTP"}],
    })
}

fn families(cluster: &Cluster) -> Vec<Family> {
    cluster.testbed().spec().address_families().all().to_vec()
}

fn node_port(service: &Service) -> Result<u16> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let number = ports.into_iter().find_map(|port| port.node_port);
    Ok(u16::try_from(number.context("the Service has no NodePort")?)?)
}

/// Waits until an association is set up.
async fn answered(cluster: &Cluster, from: &Vantage, target: SocketAddr) -> Result<()> {
    eventually(&format!("{target} answers {from}"), PATIENCE, || async {
        let tally = from.sctp(cluster, target, 1).await?;
        Ok(if tally.answered() == 1 {
            Ok(())
        } else {
            Err(format!("{tally:?}"))
        })
    })
    .await
}

/// Waits until one is, then every one must be, and the pod must see `expected`.
async fn seen_as(cluster: &Cluster, from: &Vantage, target: SocketAddr, expected: IpAddr) -> Result<()> {
    answered(cluster, from, target).await?;
    let tally: Tally = from.sctp(cluster, target, ASSOCIATIONS).await?;
    ensure!(
        tally.answered() == ASSOCIATIONS && tally.failed() == 0,
        "from {from} to {target}: {tally:?}"
    );
    ensure!(
        tally.seen_as == [expected].into(),
        "from {from} to {target} the pod should see {expected}: {tally:?}"
    );
    Ok(())
}

/// Whether the machine's kernel speaks SCTP, as a module or of its own.
fn kernel_has_sctp() -> Result<bool> {
    let protocols = std::fs::read_to_string("/proc/net/protocols")?;
    Ok(protocols.lines().any(|line| line.starts_with("SCTP")))
}
