//! A hundred Services of every kind, whose endpoints are made up: nobody asks them.

use anyhow::{Context as _, Result};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// How many there are.
pub(super) const COUNT: usize = 100;

/// Of every ten, so many are:
///
/// * 0 and 5: ClusterIPs with two ports;
/// * 1 and 6: NodePorts;
/// * 2 and 7: load balancers, with source ranges and with the external policy `Local`;
/// * 3 and 8: external IPs with session affinity;
/// * 4 and 9: of the internal policy `Local`, the latter with NodePorts of the external one and affinity.
///
/// Every seventh has no endpoint, every eleventh none on the first node.
pub(super) async fn create(cluster: &Cluster) -> Result<()> {
    for index in 0..COUNT {
        create_one(cluster, index).await.with_context(|| name(index))?;
    }
    Ok(())
}

pub(super) fn name(index: usize) -> String {
    format!("svc-{index:03}")
}

/// The address that the load balancer of a Service has, and its external one.
fn outside(index: usize) -> String {
    format!("203.0.113.{}", 100 + index)
}

async fn create_one(cluster: &Cluster, index: usize) -> Result<()> {
    let name = name(index);
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let service = json!({"metadata": {"name": name}, "spec": spec(index)});
    services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    if matches!(index % 10, 2 | 7) {
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": outside(index)}]}}});
        services
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await?;
    }
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    for (family, pods) in [("IPv4", "10.244."), ("IPv6", "fd00:10:244:")] {
        if index % 7 == 6 {
            continue;
        }
        let endpoint = |node: u8, number: usize| {
            let address = match family {
                "IPv4" => format!("{pods}{node}.{}", 2 + 2 * index + number),
                _ => format!("{pods}{node}::{:x}", 2 + 2 * index + number),
            };
            let node = if node == 0 { "node-a" } else { "node-b" };
            json!({"addresses": [address], "nodeName": node, "conditions": {"ready": true}})
        };
        let first = u8::from(index % 11 == 10);
        let slice = json!({
            "metadata": {"name": format!("{name}-{}", family.to_lowercase()), "labels": {"kubernetes.io/service-name": name}},
            "addressType": family,
            "ports": [
                {"name": "http", "port": 8080, "protocol": "TCP"},
                {"name": "dns", "port": 5353, "protocol": "UDP"},
            ],
            // On the second node number 0 is free for the one that is not on the first.
            "endpoints": [endpoint(first, 0), endpoint(1, 1), endpoint(2, 0)],
        });
        slices
            .create(&PostParams::default(), &serde_json::from_value(slice)?)
            .await?;
    }
    Ok(())
}

fn spec(index: usize) -> Value {
    let http = json!({"name": "http", "port": 80, "protocol": "TCP"});
    let dns = json!({"name": "dns", "port": 53, "protocol": "UDP"});
    let affinity = json!({"clientIP": {"timeoutSeconds": 600 + index}});
    let mut spec = match index % 10 {
        0 | 5 => json!({"ports": [http, dns]}),
        1 | 6 => json!({"type": "NodePort", "ports": [http]}),
        2 => json!({
            "type": "LoadBalancer", "ports": [http],
            "loadBalancerSourceRanges": ["198.51.100.0/25", "198.51.100.128/25", "192.168.49.0/24", "2001:db8::/64"],
        }),
        7 => json!({"type": "LoadBalancer", "ports": [http], "externalTrafficPolicy": "Local"}),
        3 | 8 => json!({
            "externalIPs": [outside(index)], "ports": [dns],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": affinity,
        }),
        4 => json!({"ports": [http], "internalTrafficPolicy": "Local"}),
        _ => json!({
            "type": "NodePort", "ports": [http],
            "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": affinity,
        }),
    };
    spec["ipFamilyPolicy"] = "PreferDualStack".into();
    spec
}
