//! Addresses as old clients may write them.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use super::{ServerPod, Vantage, client_pod, probe::Probe, service::create_service};
use crate::cluster::Cluster;

/// A ClusterIP with a leading zero is a decimal one, and its octal reading is nobody's (CVE-2021-29923).
///
/// Upstream: "IPv4 Service Type ClusterIP with leading zeros should work interpreted as decimal"
pub async fn leading_zeros_are_decimal(cluster: &mut Cluster) -> Result<()> {
    ServerPod::of("funny-ip", "web-1").create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let spec = json!({"clusterIP": "10.96.0.021", "ports": [{"port": 7_180, "targetPort": 80}]});
    create_service(cluster, "funny-ip", spec).await?;
    let decimal: SocketAddr = "10.96.0.21:7180".parse()?;
    let octal: SocketAddr = "10.96.0.17:7180".parse()?;
    Probe::tcp(cluster, &from, decimal).answered_by(&["web-1"]).await?;
    Probe::tcp(cluster, &from, octal).unanswered().await
}
