//! The Node object.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::{
    api::core::v1::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};

use crate::spec;

/// Creates the Node object of `spec` and reports it Ready. Returns it.
pub(super) async fn register(client: &Client, spec: &spec::NodeSpec, now: Time) -> Result<Node> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = node(spec);
    nodes
        .create(&PostParams::default(), &node)
        .await
        .with_context(|| format!("register node {}", spec.name))?;
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned())?;
    let status = serde_json::json!({ "status": status(spec, &release, now) });
    nodes
        .patch_status(&spec.name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .with_context(|| format!("report node {} ready", spec.name))
}

fn node(spec: &spec::NodeSpec) -> Node {
    let labels = [
        ("kubernetes.io/hostname", spec.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("topology.kubernetes.io/zone", spec.zone.as_str()),
    ];
    let labels: BTreeMap<String, String> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Node {
        metadata: ObjectMeta {
            name: Some(spec.name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: spec.pod_cidrs.primary().map(|cidr| cidr.to_string()),
            pod_cidrs: Some(spec.pod_cidrs.iter().map(|cidr| cidr.to_string()).collect()),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

fn status(spec: &spec::NodeSpec, kernel_release: &str, now: Time) -> NodeStatus {
    let mut addresses: Vec<NodeAddress> = spec
        .addresses
        .iter()
        .map(|address| NodeAddress {
            type_: "InternalIP".to_owned(),
            address: address.to_string(),
        })
        .collect();
    addresses.push(NodeAddress {
        type_: "Hostname".to_owned(),
        address: spec.name.clone(),
    });
    let capacity: BTreeMap<String, Quantity> = [("cpu", "2"), ("memory", "4Gi"), ("pods", "110")]
        .map(|(key, value)| (key.to_owned(), Quantity(value.to_owned())))
        .into();
    NodeStatus {
        addresses: Some(addresses),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Some("KubeletReady".to_owned()),
            message: Some("the node's network namespace and cgroup are up".to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(now),
        }]),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            container_runtime_version: concat!("netns://", env!("CARGO_PKG_VERSION")).to_owned(),
            kernel_version: kernel_release.to_owned(),
            kubelet_version: concat!("v", env!("CARGO_PKG_VERSION"), "-kpr-cluster").to_owned(),
            operating_system: "linux".to_owned(),
            os_image: "network namespace".to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

/// Kubernetes' word for the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
