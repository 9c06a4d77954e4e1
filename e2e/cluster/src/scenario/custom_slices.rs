//! Services without a selector, whose EndpointSlices are written by hand. The titles are those of
//! `test/e2e/network/endpointslice.go`.

use anyhow::Result;
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod,
    probe::Probe,
    service::{cluster_ip, create_labelled_service, create_slice},
};
use crate::cluster::Cluster;

const NAME: &str = "example-custom-endpoints";

/// One pod, each of whose ports is in a slice of its own.
///
/// Upstream: "should support a Service with multiple ports specified in multiple EndpointSlices"
pub async fn ports_may_be_in_several_slices(cluster: &mut Cluster) -> Result<()> {
    let pod = ServerPod::of("custom", "pod-1")
        .on_node("node-b")
        .port("first", 8_090, "TCP")
        .port("second", 9_090, "TCP");
    let pod = pod.create(cluster).await?;
    serves(cluster, [(&pod, 8_090), (&pod, 9_090)]).await
}

/// Two pods, each in a slice of its own for a port of its own.
///
/// Upstream: "should support a Service with multiple endpoint IPs specified in multiple EndpointSlices"
pub async fn addresses_may_be_in_several_slices(cluster: &mut Cluster) -> Result<()> {
    let create = async |name, node| {
        let pod = ServerPod::of("custom", name).on_node(node).port("http", 8_090, "TCP");
        pod.create(cluster).await
    };
    let (first, second) = (create("pod-1", "node-a").await?, create("pod-2", "node-b").await?);
    serves(cluster, [(&first, 8_090), (&second, 8_090)]).await
}

/// A Service with the ports 80 and 81; each leads to a pod and port of its own.
async fn serves(cluster: &Cluster, endpoints: [(&k8s_openapi::api::core::v1::Pod, u16); 2]) -> Result<()> {
    let spec = json!({"ports": [{"name": "port80", "port": 80}, {"name": "port81", "port": 81}]});
    let service = create_labelled_service(cluster, NAME, json!({}), spec).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    for (number, (pod, port)) in [80, 81].into_iter().zip(endpoints) {
        let ports = json!([{"name": format!("port{number}"), "port": port, "protocol": "TCP"}]);
        create_slice(cluster, NAME, &format!("{NAME}-{number}"), ports, &[pod]).await?;
    }
    for (number, (pod, _port)) in [80, 81].into_iter().zip(endpoints) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let target = cluster_ip(&service, number)?;
        Probe::tcp(cluster, &from, target).answered_by(&[name]).await?;
    }
    Ok(())
}
