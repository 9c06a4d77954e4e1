//! Services that their labels keep from this proxy.

use anyhow::Result;
use serde_json::json;

use super::ThreePods;
use crate::{
    cluster::Cluster,
    scenario::{Vantage, client_pod, service::label_service},
};

/// A Service that is another proxy's is not served, from its first day or from when it gets the label; without it, it is.
///
/// Upstream: "should implement service.kubernetes.io/service-proxy-name"
pub async fn should_implement_service_proxy_name(cluster: &mut Cluster) -> Result<()> {
    keeps_off(cluster, "service.kubernetes.io/service-proxy-name", "foo-bar").await
}

/// The same of a Service that is labelled headless.
///
/// Upstream: "should implement service.kubernetes.io/headless"
pub async fn should_implement_headless(cluster: &mut Cluster) -> Result<()> {
    keeps_off(cluster, "service.kubernetes.io/headless", "").await
}

async fn keeps_off(cluster: &Cluster, label: &str, value: &str) -> Result<()> {
    let disabled = ThreePods::start_with(cluster, "disabled", json!({label: value}), json!({})).await?;
    let toggled = ThreePods::start(cluster, "toggled").await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    toggled.is_up(cluster, &from).await?;
    disabled.is_down(cluster, &from).await?;

    label_service(cluster, "toggled", label, Some(value)).await?;
    toggled.is_down(cluster, &from).await?;

    label_service(cluster, "toggled", label, None).await?;
    toggled.is_up(cluster, &from).await?;
    disabled.is_down(cluster, &from).await
}
