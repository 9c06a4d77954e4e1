//! Services that a scenario writes itself.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    core::v1::{Pod, Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{address::Family, cluster::Cluster};

/// Creates a Service called `name`, which selects the pods with the label `app: {name}` unless `spec` says otherwise.
pub async fn create_service(cluster: &Cluster, name: &str, mut spec: Value) -> Result<Service> {
    if spec.get("selector").is_none() {
        spec["selector"] = json!({"app": name});
    }
    create_labelled_service(cluster, name, json!({}), spec).await
}

/// Creates a Service with labels and exactly this `spec`.
pub async fn create_labelled_service(cluster: &Cluster, name: &str, labels: Value, spec: Value) -> Result<Service> {
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let service = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": spec}))?;
    let created = services.create(&PostParams::default(), &service).await;
    created.with_context(|| format!("create Service {name}"))
}

/// Merges `spec` into a Service's.
pub async fn patch_service(cluster: &Cluster, name: &str, spec: Value) -> Result<Service> {
    patch(cluster, name, json!({"spec": spec})).await
}

/// Sets a label of a Service, or takes it away.
pub async fn label_service(cluster: &Cluster, name: &str, label: &str, value: Option<&str>) -> Result<Service> {
    patch(cluster, name, json!({"metadata": {"labels": {label: value}}})).await
}

async fn patch(cluster: &Cluster, name: &str, patch: Value) -> Result<Service> {
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let patched = services
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.with_context(|| format!("patch Service {name}"))
}

/// Deletes a Service. Its pods stay.
pub async fn delete_service(cluster: &Cluster, name: &str) -> Result<()> {
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let deleted = services.delete(name, &DeleteParams::default()).await;
    deleted.map(|_| ()).with_context(|| format!("delete Service {name}"))
}

/// What a cloud's load balancer does for a Service: gives it addresses, and routes them, from outside, to nodes.
pub async fn balance_load(cluster: &Cluster, name: &str, addresses: &[(&str, &str)]) -> Result<()> {
    let client = cluster.testbed().client().clone();
    let mut routes = Vec::new();
    for (address, node) in addresses {
        routes.push(format!("route replace {address} via {}", cluster.node_address(node)?));
    }
    // Runs `ip`: not on a thread of the runtime.
    tokio::task::spawn_blocking(move || client.ip(&routes)).await??;
    let ingress: Vec<Value> = addresses
        .iter()
        .map(|(address, _node)| json!({"ip": address}))
        .collect();
    set_ingress(cluster, name, json!(ingress)).await
}

/// Says who handles packets to a Service's address (`ipMode`, KEP-1860).
pub async fn set_ip_mode(cluster: &Cluster, name: &str, address: &str, mode: &str) -> Result<()> {
    set_ingress(cluster, name, json!([{"ip": address, "ipMode": mode}])).await
}

/// What a cloud's load balancer does for a Service that is none of its own any more.
pub async fn stop_balancing(cluster: &Cluster, name: &str) -> Result<()> {
    set_ingress(cluster, name, Value::Null).await
}

async fn set_ingress(cluster: &Cluster, name: &str, ingress: Value) -> Result<()> {
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let status = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": ingress}}}));
    let patched = services.patch_status(name, &PatchParams::default(), &status).await;
    patched
        .map(|_| ())
        .with_context(|| format!("set the addresses of Service {name}"))
}

/// Writes a slice of a Service that selects no pods.
pub async fn create_slice(cluster: &Cluster, service: &str, name: &str, ports: Value, pods: &[&Pod]) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let mut endpoints = Vec::new();
    let mut family = Family::V4;
    for pod in pods {
        family = Family::of(pod_ip(pod)?);
        let node = crate::control::pods::node_name(pod);
        endpoints
            .push(json!({"addresses": [pod_ip(pod)?.to_string()], "nodeName": node, "conditions": {"ready": true}}));
    }
    let slice = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family.name(),
        "ports": ports,
        "endpoints": endpoints,
    }))?;
    let created = slices.create(&PostParams::default(), &slice).await;
    created.map(|_| ()).with_context(|| format!("create slice {name}"))
}

/// A pod's address.
pub fn pod_ip(pod: &Pod) -> Result<IpAddr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    Ok(address.context("the pod has no address")?.parse()?)
}

/// A pod's address of a family.
pub fn pod_ip_of(pod: &Pod, family: Family) -> Result<IpAddr> {
    let all = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    let found = all
        .filter_map(|ip| ip.ip.parse().ok())
        .find(|ip| Family::of(*ip) == family);
    found.with_context(|| format!("the pod has no {family} address"))
}

/// A Service's ClusterIP of a family with one of its ports.
pub fn cluster_ip_of(service: &Service, family: Family, port: u16) -> Result<SocketAddr> {
    let all = service.spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
    let found = all
        .filter_map(|ip| ip.parse().ok())
        .find(|ip| Family::of(*ip) == family);
    let address = found.with_context(|| format!("the Service has no {family} ClusterIP"))?;
    Ok(SocketAddr::new(address, port))
}

/// A Service's ClusterIP with one of its ports.
pub fn cluster_ip(service: &Service, port: u16) -> Result<SocketAddr> {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    Ok(SocketAddr::new(
        address.context("the Service has no ClusterIP")?.parse()?,
        port,
    ))
}

/// Where the Service's port called `name` is reached on a node; a Service with one port needs no names.
pub fn node_port(cluster: &Cluster, service: &Service, node: &str, name: &str) -> Result<SocketAddr> {
    let ports: Vec<&ServicePort> = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .collect();
    let port = ports
        .iter()
        .find(|port| port.name.as_deref().unwrap_or_default() == name);
    let number = port
        .and_then(|port| port.node_port)
        .context("the Service has no such NodePort")?;
    Ok(SocketAddr::new(cluster.node_address(node)?, u16::try_from(number)?))
}
