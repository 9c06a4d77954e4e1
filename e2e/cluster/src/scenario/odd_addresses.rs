//! Addresses that are written as old clients may, or that are of another range than most.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod,
    probe::Probe,
    server_pods,
    service::{cluster_ip, create_service, node_port},
};
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

/// A range that is added while the cluster runs is as good as the first: kpr serves whatever address a Service has.
///
/// Upstream: "should create Services and serve on different Service CIDRs"
pub async fn a_cluster_ip_of_another_range_is_served(cluster: &mut Cluster) -> Result<()> {
    // TEST-NET-3 (RFC 5737): nobody's.
    cluster.add_service_cidr("203.0.113.0/24".parse()?).await?;
    let pods = ["web-1", "web-2"];
    server_pods(cluster, "cidr1-test", &[("web-1", "node-a"), ("web-2", "node-b")]).await?;
    let spec = json!({
        "type": "NodePort",
        "clusterIP": "203.0.113.10",
        "ports": [{"name": "http", "port": 80}],
    });
    let service = create_service(cluster, "cidr1-test", spec).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let mut targets = vec![cluster_ip(&service, 80)?];
    for node in cluster.node_names() {
        targets.push(node_port(cluster, &service, &node, "http")?);
    }
    for target in targets {
        Probe::tcp(cluster, &from, target).answered_by(&pods).await?;
    }
    Ok(())
}
