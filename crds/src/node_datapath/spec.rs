//! What the operator writes: the resolved configuration of one node.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NodeDatapathStatus;
use crate::fields::{
    KubeProxy, KubeProxyRules, LoadBalancer, Maps, Metrics, Mode, NodePort, Services, SessionAffinity, SocketLb,
};

/// What the agent does with the node's datapath.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Phase {
    /// Serve.
    #[default]
    Active,
    /// Remove programs, pins and sysctls, and report condition `Removed`.
    Draining,
}

impl Phase {
    /// The value as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Draining => "Draining",
        }
    }
}

/// The resolved configuration of one node: the fields of the `KubeProxyReplacement` with every default filled in.
///
/// Only the operator writes it. The object has the name of its Node.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "kpr.dev",
    version = "v1alpha1",
    kind = "NodeDatapath",
    plural = "nodedatapaths",
    singular = "nodedatapath",
    shortname = "ndp",
    category = "networking",
    status = "NodeDatapathStatus",
    derive = "PartialEq",
    cel,
    doc = "NodeDatapath is the datapath of one node: its spec is written by the operator, its status by the agent of that node.",
    label("app.kubernetes.io/part-of", "kpr"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".spec.phase"),
    printcolumn(
        name = "Wanted",
        type_ = "integer",
        json_path = ".spec.policyGeneration",
        description = "Generation of the policy that the node should have"
    ),
    printcolumn(
        name = "Applied",
        type_ = "integer",
        json_path = ".status.policyGeneration",
        description = "Generation of the policy that the node has"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Services",
        type_ = "integer",
        json_path = ".status.counts.services",
        priority = 1
    ),
    printcolumn(
        name = "Kernel",
        type_ = "string",
        json_path = ".status.kernel.release",
        priority = 1
    ),
    printcolumn(name = "Agent", type_ = "string", json_path = ".status.agentVersion", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeDatapathSpec {
    /// Name of the `KubeProxyReplacement` that this configuration comes from.
    #[schemars(length(min = 1, max = 63))]
    pub policy: String,
    /// `metadata.generation` of that `KubeProxyReplacement`.
    pub policy_generation: i64,
    /// What the agent does with the node's datapath.
    #[serde(default)]
    pub phase: Phase,
    /// How much of kube-proxy's work kpr takes over.
    pub mode: Mode,
    /// The kinds of Services that kpr serves on this node.
    pub services: Services,
    /// Names or globs of the devices that face the outside; empty: the agent finds them.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 15)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub devices: Vec<String>,
    /// Device over which the nodes reach each other; not given: the agent finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub direct_routing_device: Option<String>,
    /// How NodePorts are served.
    pub node_port: NodePort,
    /// How `sessionAffinity: ClientIP` of Services is served.
    pub session_affinity: SessionAffinity,
    /// How traffic from outside of the cluster is balanced and forwarded.
    pub load_balancer: LoadBalancer,
    /// Load balancing at the socket, for clients on the node and in its pods.
    #[serde(rename = "socketLB")]
    pub socket_lb: SocketLb,
    /// Sizes of the eBPF maps.
    pub maps: Maps,
    /// What is measured beside what costs nothing.
    #[serde(default, skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
    /// What happens to a kube-proxy that still runs.
    pub kube_proxy: KubeProxy,
    /// What the agent does with rules of a kube-proxy on the node. `Remove` only once none runs there.
    #[serde(default)]
    pub kube_proxy_rules: KubeProxyRules,
}
