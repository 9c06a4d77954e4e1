//! Clusters with both address families: Kubernetes' own tests (`test/e2e/network/dual_stack.go`), and what they leave open.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use super::{
    Deployed, Probe, ServerPod, TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, host_network_client,
    service::{cluster_ip_of, create_service, pod_ip_of},
};
use crate::{
    address::Family,
    cluster::{Cluster, eventually},
    control::pods::node_name,
};

/// How long a change may take to show in the API.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many answers in a row must come from one pod, as upstream has it.
const IN_A_ROW: u32 = 15;

/// Upstream: "should have ipv4 and ipv6 internal node ip"
/// Upstream: "should create pod, add ipv6 and ipv4 ip to pod ips"
/// Upstream: "should be able to reach pod on ipv4 and ipv6 ip"
pub async fn nodes_and_pods_have_an_address_of_each_family(cluster: &mut Cluster) -> Result<()> {
    let order = cluster.testbed().spec().address_families().all();
    let nodes: Api<Node> = Api::all(cluster.client());
    for node in nodes.list(&ListParams::default()).await?.items {
        let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let internal = addresses.filter(|address| address.type_ == "InternalIP");
        let families = families_of(internal.map(|address| address.address.as_str()))?;
        ensure!(families == order, "{}: {families:?}", node.name_any());
    }
    let web = Workload::named("web").deploy(cluster).await?;
    let servers = web.ready_pods(cluster, 2).await?;
    let mut clients = Vec::new();
    for node in cluster.node_names() {
        clients.push(client_pod(cluster, &node).await?);
    }
    for server in &servers {
        let status = server.status.clone().unwrap_or_default();
        let ips: Vec<String> = status.pod_ips.into_iter().flatten().map(|ip| ip.ip).collect();
        ensure!(families_of(ips.iter().map(String::as_str))? == order, "{ips:?}");
        ensure!(status.pod_ip.as_ref() == ips.first(), "{ips:?}");
        for client in &clients {
            for &family in order {
                let target = SocketAddr::new(pod_ip_of(server, family)?, TCP_PORT);
                let from = Vantage::pod(client);
                Probe::tcp(cluster, &from, target)
                    .answered_by(&[server.name_any()])
                    .await?;
            }
        }
    }
    Ok(())
}

/// Upstream: "should create a single stack service with cluster ip from primary service range"
/// Upstream: "should create service with ipv4 cluster ip"
/// Upstream: "should create service with ipv6 cluster ip"
/// Upstream: "should create service with ipv4,v6 cluster ip"
/// Upstream: "should create service with ipv6,v4 cluster ip"
pub async fn services_have_the_families_that_they_ask_for(cluster: &mut Cluster) -> Result<()> {
    let primary = cluster.testbed().spec().address_families().all()[0];
    let web = Workload::named("web").deploy(cluster).await?;
    let pods = web.ready_pods(cluster, 2).await?;
    let client = client_pod(cluster, "node-a").await?;
    let cases: [(&str, Value, Value, &[Family]); 5] = [
        ("defaultclusterip", Value::Null, Value::Null, &[primary]),
        ("ipv4clusterip", Value::Null, json!(["IPv4"]), &[Family::V4]),
        ("ipv6clusterip", Value::Null, json!(["IPv6"]), &[Family::V6]),
        (
            "ipv4ipv6clusterip",
            json!("RequireDualStack"),
            json!(["IPv4", "IPv6"]),
            &[Family::V4, Family::V6],
        ),
        (
            "ipv6ipv4clusterip",
            json!("RequireDualStack"),
            json!(["IPv6", "IPv4"]),
            &[Family::V6, Family::V4],
        ),
    ];
    for (name, policy, families, expected) in cases {
        let spec = json!({
            "selector": {"app": "web"},
            "ipFamilyPolicy": policy,
            "ipFamilies": families,
            "ports": [
                {"name": "http", "port": TCP_PORT, "protocol": "TCP"},
                {"name": "echo", "port": UDP_PORT, "protocol": "UDP"},
            ],
        });
        let service = create_service(cluster, name, spec).await?;
        has_families(&service, expected).with_context(|| name.to_owned())?;
        slices_follow(cluster, &service, &pods, expected).await?;
        for &family in expected {
            reached(cluster, &service, family, &client, &pods).await?;
        }
    }
    Ok(())
}

fn has_families(service: &Service, expected: &[Family]) -> Result<()> {
    let spec = service.spec.clone().context("a Service has a spec")?;
    let names: Vec<&str> = expected.iter().map(|family| family.name()).collect();
    ensure!(spec.ip_families.as_deref().unwrap_or_default() == names, "{spec:?}");
    let policy = if expected.len() == 1 {
        "SingleStack"
    } else {
        "RequireDualStack"
    };
    ensure!(spec.ip_family_policy.as_deref() == Some(policy), "{spec:?}");
    let ips = spec.cluster_ips.unwrap_or_default();
    ensure!(families_of(ips.iter().map(String::as_str))? == expected, "{ips:?}");
    ensure!(spec.cluster_ip.as_ref() == ips.first(), "{ips:?}");
    Ok(())
}

/// There is a slice for each family, and none for another, with every pod's address of that family.
async fn slices_follow(cluster: &Cluster, service: &Service, pods: &[Pod], expected: &[Family]) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let own = ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name_any()));
    let mut wanted = BTreeSet::new();
    for family in expected {
        for pod in pods {
            wanted.insert((family.name().to_owned(), pod_ip_of(pod, *family)?.to_string()));
        }
    }
    eventually(&format!("slices have {wanted:?}"), PATIENCE, || async {
        let mut found = BTreeSet::new();
        for slice in slices.list(&own).await?.items {
            for endpoint in slice.endpoints.iter().flatten() {
                for address in &endpoint.addresses {
                    found.insert((slice.address_type.clone(), address.clone()));
                }
            }
        }
        Ok(if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        })
    })
    .await
}

async fn reached(cluster: &Cluster, service: &Service, family: Family, client: &Pod, pods: &[Pod]) -> Result<()> {
    let (from, names) = (Vantage::pod(client), names(pods));
    let tcp = cluster_ip_of(service, family, TCP_PORT)?;
    let udp = cluster_ip_of(service, family, UDP_PORT)?;
    Probe::tcp(cluster, &from, tcp).answered_by(&names).await?;
    Probe::udp(cluster, &from, udp).answered_by(&names).await?;
    Ok(())
}

/// Upstream: "Granular Checks: Services Secondary IP Family should function for pod-Service: http"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for pod-Service: udp"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for node-Service: http"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for node-Service: udp"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for endpoint-Service: http"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for endpoint-Service: udp"
pub async fn everybody_reaches_the_secondary_addresses(cluster: &mut Cluster) -> Result<()> {
    let (web, secondary) = secondary_service(cluster, Workload::named("web")).await?;
    let pods = web.ready_pods(cluster, 2).await?;
    let names = names(&pods);
    let endpoint = pods.first().context("there are pods")?;
    let clients = [
        client_pod(cluster, "node-a").await?,
        host_network_client(cluster, "node-b").await?,
        endpoint.clone(),
    ];
    for client in &clients {
        let from = Vantage::pod(client);
        let mut targets = vec![(
            web.cluster_ip_of(secondary, TCP_PORT)?,
            web.cluster_ip_of(secondary, UDP_PORT)?,
        )];
        // The client's own node first: what it asks there goes to the pods directly. A socket that asks them so under an address
        // and port that another node still remembers from a NodePort would get its answers in that one's name.
        let mut nodes = cluster.node_names();
        nodes.sort_by_key(|node| node_name(client) != Some(node));
        for node in nodes {
            targets.push((
                web.node_port_of(cluster, &node, secondary, TCP_PORT)?,
                web.node_port_of(cluster, &node, secondary, UDP_PORT)?,
            ));
        }
        for (tcp, udp) in targets {
            Probe::tcp(cluster, &from, tcp).answered_by(&names).await?;
            Probe::udp(cluster, &from, udp).answered_by(&names).await?;
        }
    }
    let pod = Vantage::pod(&clients[0]);
    a_node_port_is_on_the_ipv4_loopback_only(cluster, &web, &pod, &names).await
}

/// NodePorts are served on 127.0.0.1 for the node itself, and never on ::1, as with kube-proxy. A pod's loopback is its own.
async fn a_node_port_is_on_the_ipv4_loopback_only(
    cluster: &Cluster,
    web: &Deployed,
    pod: &Vantage,
    names: &[String],
) -> Result<()> {
    let node = Vantage::node("node-a");
    let port = web.node_port(cluster, "node-a", TCP_PORT)?.port();
    let (v4, v6) = (
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
    );
    Probe::tcp(cluster, &node, v4).answered_by(names).await?;
    Probe::tcp(cluster, &node, v6).refused().await?;
    Probe::tcp(cluster, pod, v4).refused().await?;
    Probe::tcp(cluster, pod, v6).refused().await
}

/// Upstream: "Granular Checks: Services Secondary IP Family should update endpoints: http"
/// Upstream: "Granular Checks: Services Secondary IP Family should update endpoints: udp"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for client IP based session affinity: http"
/// Upstream: "Granular Checks: Services Secondary IP Family should function for client IP based session affinity: udp"
pub async fn the_secondary_address_follows_endpoints_and_keeps_clients(cluster: &mut Cluster) -> Result<()> {
    let (web, secondary) = secondary_service(cluster, Workload::named("web").replicas(3)).await?;
    let (sticky, _) = secondary_service(cluster, Workload::named("sticky").client_ip_affinity()).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let tcp = Probe::tcp(cluster, &from, sticky.cluster_ip_of(secondary, TCP_PORT)?);
    let udp = Probe::udp(cluster, &from, sticky.cluster_ip_of(secondary, UDP_PORT)?);
    let pods = names(&sticky.ready_pods(cluster, 2).await?);
    for probe in [tcp, udp] {
        eventually(&format!("{probe} is answered"), PATIENCE, || async {
            let tally = probe.ask(1).await?;
            Ok(if tally.failed() == 0 {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        })
        .await?;
        let chosen = probe.sticks(IN_A_ROW).await?;
        ensure!(pods.contains(&chosen), "{chosen} is none of {pods:?}");
    }

    for replicas in [3, 2] {
        web.scale(cluster, replicas).await?;
        let names = names(&web.ready_pods(cluster, replicas).await?);
        let (tcp, udp) = (
            web.cluster_ip_of(secondary, TCP_PORT)?,
            web.cluster_ip_of(secondary, UDP_PORT)?,
        );
        Probe::tcp(cluster, &from, tcp).answered_by(&names).await?;
        Probe::udp(cluster, &from, udp).answered_by(&names).await?;
    }
    Ok(())
}

/// Upstream: "Granular Checks: Services Secondary IP Family should function for service endpoints using hostNetwork"
/// Upstream: "Granular Checks: Services Secondary IP Family should be able to handle large requests: http"
pub async fn host_network_endpoints_are_reached_at_the_secondary_address(cluster: &mut Cluster) -> Result<()> {
    let families = cluster.testbed().spec().address_families();
    let secondary = families.secondary().context("the cluster has one family")?;
    let (port, target_port): (u16, u16) = (80, 8080);
    let mut pods = Vec::new();
    for node in cluster.node_names() {
        let pod = ServerPod::of("host", &format!("host-{node}"))
            .on_node(&node)
            .host_network()
            .port("http", target_port, "TCP")
            .port("echo", target_port, "UDP");
        pods.push(pod.create(cluster).await?);
    }
    let names_of_families: Vec<&str> = families.all().iter().map(|family| family.name()).collect();
    let spec = json!({
        "type": "NodePort",
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": names_of_families,
        "ports": [
            {"name": "http", "port": port, "targetPort": target_port, "protocol": "TCP"},
            {"name": "echo", "port": port, "targetPort": target_port, "protocol": "UDP"},
        ],
    });
    let service = create_service(cluster, "host", spec).await?;
    let client = client_pod(cluster, "node-a").await?;
    let names = names(&pods);
    for from in [Vantage::pod(&client), Vantage::node("node-b")] {
        let target = cluster_ip_of(&service, secondary, port)?;
        Probe::tcp(cluster, &from, target).answered_by(&names).await?;
        // A pod's datagram to its own node is answered under the address of the pods' bridge, whoever translated it: upstream asks
        // from nodes only, too.
        if matches!(from, Vantage::Node(_)) {
            Probe::udp(cluster, &from, target).answered_by(&names).await?;
        }
    }
    let node_port = super::service::node_port(cluster, &service, "node-b", "http")?.port();
    let target = SocketAddr::new(cluster.node_address_of("node-b", secondary)?, node_port);
    Probe::tcp(cluster, &Vantage::Outside, target)
        .answered_by(&names)
        .await?;

    let message = "42".repeat(1_000);
    let url = format!("http://{}/echo", cluster_ip_of(&service, secondary, port)?);
    let echoed = cluster
        .in_pod(&client, "curl")?
        .args(["--silent", "--show-error", "--fail", "--max-time", "10", "--globoff"])
        .args(["--data-binary", &message, &url])
        .output()
        .await?
        .success()?;
    ensure!(echoed == message, "{url} answered {} bytes", echoed.len());
    Ok(())
}

/// A NodePort Service of both families, and which of them is the secondary one.
async fn secondary_service(cluster: &Cluster, workload: Workload) -> Result<(Deployed, Family)> {
    let families = cluster.testbed().spec().address_families();
    let secondary = families.secondary().context("the cluster has one family")?;
    let deployed = workload.node_port().families(families.all()).deploy(cluster).await?;
    Ok((deployed, secondary))
}

fn families_of<'a>(addresses: impl Iterator<Item = &'a str>) -> Result<Vec<Family>> {
    addresses.map(|address| Ok(Family::of(address.parse()?))).collect()
}

fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(kube::ResourceExt::name_any).collect()
}
