//! Where Services are reached, and as whom their pods see the client.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::json;

use super::{http, is_reachable, one_pod};
use crate::{
    cluster::{Cluster, eventually},
    scenario::{
        POD_PORT, Probe, Vantage, client_pod, server_pods,
        service::{cluster_ip, create_service, pod_ip},
    },
};

/// How long the API server's Service may take to be served.
const PATIENCE: Duration = Duration::from_secs(20);
/// An address that nobody has: of a range for documentation (RFC 5737).
const EXTERNAL_IP: [u8; 4] = [203, 0, 113, 250];

/// The API server's own Service is there, and leads a pod to the API server (which speaks plain HTTP in these clusters).
///
/// Upstream: "should provide secure master service"
pub async fn should_provide_secure_master_service(cluster: &mut Cluster) -> Result<()> {
    let services: Api<Service> = Api::namespaced(cluster.client(), "default");
    let service = services.get("kubernetes").await.context("default/kubernetes")?;
    let target = cluster_ip(&service, 443)?;
    let client = client_pod(cluster, "node-b").await?;
    eventually(
        &format!("a pod reads the API's version at {target}"),
        PATIENCE,
        || async {
            let curl = cluster.in_pod(&client, "curl")?;
            let url = format!("http://{target}/version");
            let output = curl.args(["--silent", "--max-time", "2", &url]).output().await?;
            Ok(if output.status.success() && output.stdout.contains("gitVersion") {
                Ok(())
            } else {
                Err(format!("{output:?}"))
            })
        },
    )
    .await
}

/// A pod sees the address of the pod that asks by the ClusterIP, whichever node that one is on.
///
/// Upstream: "should preserve source pod IP for traffic thru service cluster IP"
pub async fn should_preserve_source_pod_ip_for_traffic_thru_service_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    let name = "sourceip-test";
    let service = create_service(cluster, name, json!({"ports": http()})).await?;
    one_pod(cluster, name).await?;
    for node in cluster.node_names() {
        let client = client_pod(cluster, &node).await?;
        let from = Vantage::pod(&client);
        let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
        let tally = probe.answered_by(&[name]).await?;
        let own = pod_ip(&client)?;
        ensure!(tally.seen_as == [own].into(), "the pod should see {own}: {tally:?}");
    }
    Ok(())
}

/// A NodePort Service is reached at its ClusterIP and at every node's address.
///
/// Upstream: "should be able to create a functioning NodePort service"
pub async fn should_be_able_to_create_a_functioning_node_port_service(cluster: &mut Cluster) -> Result<()> {
    let name = "nodeport-test";
    let service = create_service(cluster, name, json!({"type": "NodePort", "ports": http()})).await?;
    server_pods(cluster, name, &[("pod1", "node-a"), ("pod2", "node-b")]).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    is_reachable(cluster, &service, &from, &["pod1", "pod2"]).await
}

/// An external IP that is nobody's address is a Service's all the same: a pod reaches it there.
///
/// Upstream: "should be possible to connect to a service via ExternalIP when the external IP is not assigned to a node"
pub async fn should_be_possible_to_connect_to_a_service_via_external_ip_when_the_external_ip_is_not_assigned_to_a_node(
    cluster: &mut Cluster,
) -> Result<()> {
    let name = "externalip-test";
    let address = IpAddr::from(EXTERNAL_IP);
    let spec = json!({"externalIPs": [address], "ports": http()});
    let service = create_service(cluster, name, spec).await?;
    server_pods(cluster, name, &[("pod1", "node-a"), ("pod2", "node-b")]).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    is_reachable(cluster, &service, &from, &["pod1", "pod2"]).await?;
    let external = Probe::tcp(cluster, &from, (address, POD_PORT).into());
    external.answered_by(&["pod1", "pod2"]).await.map(|_tally| ())
}
