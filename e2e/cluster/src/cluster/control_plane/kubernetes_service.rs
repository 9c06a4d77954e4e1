//! The Service `default/kubernetes`, which an API server makes for itself.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use crate::address::{Family, Prefixes};

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";

/// Publishes the API server at `endpoint`, unless it has done so itself. As kube-apiserver's, the Service has one family, the
/// cluster's primary one, and the first address of its range.
pub(super) async fn publish(client: &Client, endpoint: SocketAddr, service_cidrs: Prefixes) -> Result<()> {
    let cluster_ip = service_cidrs
        .nth(1)
        .primary()
        .context("the cluster has no range for ClusterIPs")?;
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let service = serde_json::from_value(json!({
        "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip.to_string(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": endpoint.port()}],
        },
    }))?;
    create(&services, &service)
        .await
        .context("create the Service default/kubernetes")?;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let slice = serde_json::from_value(json!({
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": Family::of(endpoint.ip()).name(),
        "endpoints": [{"addresses": [endpoint.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": endpoint.port(), "protocol": "TCP"}],
    }))?;
    create(&slices, &slice)
        .await
        .context("create the EndpointSlice default/kubernetes")
}

async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(error)) if error.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
