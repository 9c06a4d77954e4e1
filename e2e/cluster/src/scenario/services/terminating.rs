//! Services whose only endpoint terminates and still serves (KEP-1669). Upstream asks for 25 seconds; here each node's tables say
//! when the end has become known.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};

use super::http;
use crate::{
    cluster::{Cluster, eventually},
    scenario::{
        POD_PORT, Probe, ServerPod, Vantage, client_pod,
        service::{cluster_ip, create_service, node_port, pod_ip},
        terminate_pod,
    },
};

/// How long a pod's end may take to be known on every node.
const PATIENCE: Duration = Duration::from_secs(20);
/// The Service, and its pod on node-a.
const NAME: &str = "svc-proxy-terminating";

/// A Service, its pod, and a client on each node.
struct Terminating {
    service: Box<Service>,
    pod: Box<Pod>,
    on_a: Vantage,
    on_b: Vantage,
}

/// Upstream: "should fallback to terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Cluster"
pub async fn should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_cluster(
    cluster: &mut Cluster,
) -> Result<()> {
    let Terminating {
        service,
        pod,
        on_a,
        on_b,
    } = start(cluster, json!({})).await?;
    let target = cluster_ip(&service, POD_PORT)?;
    let probes = [&on_a, &on_b].map(|from| Probe::tcp(cluster, from, target));
    answer_to_the_end(cluster, &pod, &probes).await
}

/// Upstream: "should fallback to local terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Local"
pub async fn should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_local(
    cluster: &mut Cluster,
) -> Result<()> {
    let Terminating {
        service,
        pod,
        on_a,
        on_b,
    } = start(cluster, json!({"internalTrafficPolicy": "Local"})).await?;
    let target = cluster_ip(&service, POD_PORT)?;
    let (here, there) = (Probe::tcp(cluster, &on_a, target), Probe::tcp(cluster, &on_b, target));
    here.answered_by(&[NAME]).await?;
    there.not_from_here().await?;
    // node-b has no use for it, so its tables do not say.
    terminates(cluster, &pod, &["node-a"]).await?;
    here.answered_by(&[NAME]).await?;
    there.not_from_here().await
}

/// Upstream: "should fallback to terminating endpoints when there are no ready endpoints with externallTrafficPolicy=Cluster"
pub async fn should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_cluster(
    cluster: &mut Cluster,
) -> Result<()> {
    let Terminating {
        service,
        pod,
        on_a,
        on_b,
    } = start(cluster, json!({"type": "NodePort"})).await?;
    let outside = Vantage::Outside;
    let mut probes = Vec::new();
    for node in ["node-a", "node-b"] {
        let target = node_port(cluster, &service, node, "http")?;
        probes.extend([&on_a, &on_b, &outside].map(|from| Probe::tcp(cluster, from, target)));
    }
    answer_to_the_end(cluster, &pod, &probes).await
}

/// From pods of either node the server's node answers; the other one drops what comes to it, from a pod or from outside. What a
/// pod gets that asks its own node, where no endpoint is, upstream leaves open; kube-proxy gives it any endpoint, and so does kpr.
///
/// Upstream: "should fallback to local terminating endpoints when there are no ready endpoints with externalTrafficPolicy=Local"
pub async fn should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_local(
    cluster: &mut Cluster,
) -> Result<()> {
    let spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local"});
    let Terminating {
        service,
        pod,
        on_a,
        on_b,
    } = start(cluster, spec).await?;
    let node_a = node_port(cluster, &service, "node-a", "http")?;
    let node_b = node_port(cluster, &service, "node-b", "http")?;
    let outside = Vantage::Outside;
    let served = [(&on_a, node_a), (&on_b, node_a), (&outside, node_a), (&on_b, node_b)];
    let dropped = [(&on_a, node_b), (&outside, node_b)];
    let check = async || -> Result<()> {
        for (from, target) in served {
            Probe::tcp(cluster, from, target).answered_by(&[NAME]).await?;
        }
        for (from, target) in dropped {
            Probe::tcp(cluster, from, target).dropped().await?;
        }
        Ok(())
    };
    check().await?;
    terminates(cluster, &pod, &["node-a", "node-b"]).await?;
    check().await
}

async fn start(cluster: &Cluster, mut spec: Value) -> Result<Terminating> {
    spec["ports"] = http();
    let service = Box::new(create_service(cluster, NAME, spec).await?);
    let pod = ServerPod::of(NAME, NAME).on_node("node-a").lingering();
    let pod = Box::new(pod.create(cluster).await?);
    let on_a = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let on_b = Vantage::pod(&client_pod(cluster, "node-b").await?);
    Ok(Terminating {
        service,
        pod,
        on_a,
        on_b,
    })
}

/// The pod answers all, and still does when both nodes know that it terminates.
async fn answer_to_the_end(cluster: &Cluster, pod: &Pod, probes: &[Probe<'_>]) -> Result<()> {
    for probe in probes {
        probe.answered_by(&[NAME]).await?;
    }
    terminates(cluster, pod, &["node-a", "node-b"]).await?;
    for probe in probes {
        probe.answered_by(&[NAME]).await?;
    }
    Ok(())
}

/// Tells the pod to end, and waits until the tables of these nodes show it as terminating.
async fn terminates(cluster: &Cluster, pod: &Pod, nodes: &[&str]) -> Result<()> {
    terminate_pod(cluster, pod).await?;
    let address = format!("{}:{POD_PORT}", pod_ip(pod)?);
    for node in nodes {
        eventually(&format!("{node} knows that {address} terminates"), PATIENCE, || async {
            let list = cluster.kpr_json(node, &["service", "list"]).await?;
            let backends = list
                .as_array()
                .context("no list")?
                .iter()
                .filter_map(|entry| entry["backends"].as_array());
            let states: Vec<&Value> = backends
                .flatten()
                .filter(|backend| backend["address"] == address)
                .collect();
            let known = !states.is_empty() && states.iter().all(|backend| backend["state"] == "terminating");
            Ok(if known { Ok(()) } else { Err(format!("{list}")) })
        })
        .await?;
    }
    Ok(())
}
