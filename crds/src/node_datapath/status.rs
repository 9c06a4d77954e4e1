//! What the agent of a node writes: what it did and what it found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the agent of the node did and found. Only that agent writes it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDatapathStatus {
    /// `metadata.generation` of this object that the agent has carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `spec.policyGeneration` that the agent has carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_generation: Option<i64>,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub agent_version: Option<String>,
    /// Fields of the spec that the agent does not know, because it is older than the operator: paths such as
    /// `spec.loadBalancer.algorithm`. It serves without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub unknown_fields: Vec<String>,
    /// Whether the node takes packets that another one has encapsulated for an endpoint here (`spec.loadBalancer.mode` DSR or Hybrid).
    /// Other nodes' agents look at it.
    #[serde(default, rename = "takesDSR", skip_serializing_if = "std::ops::Not::not")]
    pub takes_dsr: bool,
    /// `Ready`, `DevicesAttached`, `ServicesSynced`, `KubeProxyAbsent`; `Removed` once `phase: Draining` is carried out.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The node's kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelStatus>,
    /// Devices that the datapath is attached to.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub devices: Vec<DeviceStatus>,
    /// Maps, and how full they are.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub maps: Vec<MapStatus>,
    /// What is programmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What programming it has taken since the agent's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming: Option<Programming>,
}

/// The node's kernel.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelStatus {
    /// `uname -r`.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub release: String,
    /// Features that kpr looked for.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<KernelFeature>,
}

/// A kernel feature that kpr looked for.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
pub struct KernelFeature {
    /// Name of the feature, for instance `tcx` or `bpf_set_retval`.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Is it there?
    pub found: bool,
}

/// A device that the datapath is attached to.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Interface name.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// Addresses that serve NodePorts, without prefix length.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(max = 45)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<String>,
    /// Hooks with a program of kpr, for instance `tcx/ingress` or `xdp/native`.
    #[serde(default)]
    #[schemars(length(max = 8), inner(length(max = 32)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub hooks: Vec<String>,
    /// Is it the device over which the nodes reach each other?
    #[serde(default)]
    pub direct_routing: bool,
}

/// A map, and how full it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
pub struct MapStatus {
    /// Name of the map.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Entries that fit.
    #[schemars(schema_with = "crate::schema::count")]
    pub capacity: u32,
    /// Entries in it.
    #[schemars(schema_with = "crate::schema::count")]
    pub entries: u32,
}

/// What is programmed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Services that the node serves.
    #[schemars(schema_with = "crate::schema::count")]
    pub services: u32,
    /// Frontends: addresses, ports and protocols of those Services.
    #[schemars(schema_with = "crate::schema::count")]
    pub frontends: u32,
    /// Backends: addresses, ports and protocols of their endpoints.
    #[schemars(schema_with = "crate::schema::count")]
    pub backends: u32,
}

/// What programming has taken since the agent's start.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Programming {
    /// When the agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Map entries written or deleted since then. Stays 0 over a restart in which nothing changed.
    #[schemars(schema_with = "crate::schema::count")]
    pub map_writes: u64,
    /// Writes that the kernel refused since then.
    #[schemars(schema_with = "crate::schema::count")]
    pub failures: u64,
}
