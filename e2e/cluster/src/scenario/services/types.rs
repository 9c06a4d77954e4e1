//! Services whose type changes. An ExternalName is a matter of the cluster DNS: here is seen that no rules serve it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::{http, is_reachable, only_node_port, ports};
use crate::{
    cluster::Cluster,
    scenario::{
        POD_PORT, Probe, Vantage, client_pod, server_pods,
        service::{cluster_ip, create_service, node_port, patch_service},
    },
};

/// The pods of these Services.
const PODS: [&str; 2] = ["pod1", "pod2"];

/// Upstream: "should be able to change the type from ExternalName to ClusterIP"
pub async fn should_be_able_to_change_the_type_from_external_name_to_cluster_ip(cluster: &mut Cluster) -> Result<()> {
    from_external_name(cluster, "ClusterIP").await.map(|_service| ())
}

/// Upstream: "should be able to change the type from ExternalName to NodePort"
pub async fn should_be_able_to_change_the_type_from_external_name_to_node_port(cluster: &mut Cluster) -> Result<()> {
    let service = from_external_name(cluster, "NodePort").await?;
    ensure!(only_node_port(&service)? > 0, "{service:?}");
    Ok(())
}

/// Upstream: "should be able to change the type from ClusterIP to ExternalName"
pub async fn should_be_able_to_change_the_type_from_cluster_ip_to_external_name(cluster: &mut Cluster) -> Result<()> {
    let name = "clusterip-service";
    let service = create_service(cluster, name, json!({"ports": http()})).await?;
    let from = with_pods(cluster, name, &service).await?;
    becomes_external_name(cluster, name).await?;
    let was = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    was.unanswered().await
}

/// Upstream: "should be able to change the type from NodePort to ExternalName"
pub async fn should_be_able_to_change_the_type_from_node_port_to_external_name(cluster: &mut Cluster) -> Result<()> {
    let name = "nodeport-service";
    let service = create_service(cluster, name, json!({"type": "NodePort", "ports": http()})).await?;
    let from = with_pods(cluster, name, &service).await?;
    becomes_external_name(cluster, name).await?;
    let was = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    was.unanswered().await?;
    for node in cluster.node_names() {
        let was = node_port(cluster, &service, &node, "http")?;
        // Nobody listens there, so the node itself refuses.
        Probe::tcp(cluster, &from, was).refused().await?;
    }
    Ok(())
}

/// A Service that was a name only becomes one with addresses, and is reached at all of them.
async fn from_external_name(cluster: &Cluster, to: &str) -> Result<Service> {
    let name = "externalname-service";
    let spec = json!({"type": "ExternalName", "externalName": "foo.example.com"});
    let service = create_service(cluster, name, spec).await?;
    let has_address = |service: &Service| cluster_ip(service, POD_PORT).is_ok();
    ensure!(!has_address(&service), "an ExternalName has no address: {service:?}");
    let spec = json!({"type": to, "externalName": Value::Null, "ports": http()});
    let service = patch_service(cluster, name, spec).await?;
    with_pods(cluster, name, &service).await?;
    Ok(service)
}

/// Gives a Service its pods and waits until it is reached. Returns from where.
async fn with_pods(cluster: &Cluster, name: &str, service: &Service) -> Result<Vantage> {
    server_pods(cluster, name, &[(PODS[0], "node-a"), (PODS[1], "node-b")]).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    is_reachable(cluster, service, &from, &PODS).await?;
    Ok(from)
}

/// The Service gives up its addresses for a name.
async fn becomes_external_name(cluster: &Cluster, name: &str) -> Result<()> {
    let spec = json!({"type": "ExternalName", "externalName": "externalsvc.default.svc.cluster.local"});
    let service = patch_service(cluster, name, spec).await?;
    let spec = service.spec.as_ref();
    ensure!(
        spec.is_some_and(|spec| spec.cluster_ip.as_deref().unwrap_or_default().is_empty()),
        "the ClusterIP stays: {service:?}"
    );
    ensure!(
        ports(&service).iter().all(|port| port.node_port.is_none()),
        "the NodePort stays: {service:?}"
    );
    Ok(())
}
