//! `KubeProxyReplacement`: what the user writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::fields::{
    KubeProxy, LoadBalancer, Maps, Metrics, Mode, NodePort, NodeSelector, Services, SessionAffinity, SocketLb,
    UpdateStrategy,
};

/// How a pool of nodes serves Services in place of kube-proxy.
///
/// Several may exist, one per node pool. A node that two of them select belongs to the older one.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "kpr.dev",
    version = "v1alpha1",
    kind = "KubeProxyReplacement",
    plural = "kubeproxyreplacements",
    singular = "kubeproxyreplacement",
    shortname = "kpr",
    category = "networking",
    status = "KubeProxyReplacementStatus",
    derive = "PartialEq",
    cel,
    doc = "KubeProxyReplacement says how a pool of nodes serves Services in place of kube-proxy.",
    label("app.kubernetes.io/part-of", "kpr"),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("metadata.name must be at most 63 characters: it becomes a label of the NodeDatapaths"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredNodes",
        description = "Nodes of the pool"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyNodes",
        description = "Nodes whose datapath serves"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status"
    ),
    printcolumn(
        name = "Updated",
        type_ = "integer",
        json_path = ".status.updatedNodes",
        description = "Nodes that have the newest generation",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode == 'Partial' || !has(self.services)")
    .message("spec.services can be given only with mode Partial: Strict serves every kind")
    .field_path(".services"))]
#[x_kube(validation = Rule::new("self.mode == 'Strict' || (has(self.services) && (self.services.clusterIP || self.services.nodePort || self.services.loadBalancer || self.services.externalIPs || self.services.hostPort))")
    .message("spec.services must turn on at least one kind with mode Partial"))]
#[x_kube(validation = Rule::new("self.mode == 'Strict' || self.kubeProxy.policy == 'Observe'")
    .message("spec.kubeProxy.policy Disable needs mode Strict: with Partial, kube-proxy serves the other kinds")
    .field_path(".kubeProxy.policy"))]
#[x_kube(validation = Rule::new("int(self.loadBalancer.snatPorts.split('-')[0]) > int(self.nodePort.range.split('-')[1]) || int(self.loadBalancer.snatPorts.split('-')[1]) < int(self.nodePort.range.split('-')[0])")
    .message("spec.loadBalancer.snatPorts overlaps spec.nodePort.range: a reply to a translated flow could be taken for a NodePort request")
    .field_path(".loadBalancer.snatPorts"))]
#[x_kube(validation = Rule::new("(self.socketLB.enabled && !self.socketLB.hostNamespaceOnly) || self.socketLB.packetFallback || (self.mode == 'Partial' && has(self.services) && !self.services.clusterIP)")
    .message("spec.socketLB.packetFallback must be true when sockets of pods are not translated (enabled: false, or hostNamespaceOnly: true): nothing else would serve cluster IPs to pods")
    .field_path(".socketLB.packetFallback"))]
pub struct KubeProxyReplacementSpec {
    /// How much of kube-proxy's work kpr takes over.
    #[serde(default)]
    pub mode: Mode,
    /// The kinds of Services that kpr serves; only with mode `Partial`, what is not named is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,
    /// The nodes of the pool; every node if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
    /// Names or globs (`*`, `?`) of the devices that face the outside. Empty: those with a default route or the node's
    /// address are found.
    #[serde(default)]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 15), regex(pattern = r"^[A-Za-z0-9_.:@*?-]+$"))
    )]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(d, d != 'lo')")
            .message("spec.devices must not name lo: NodePorts on loopback are served at the socket"),
    )]
    pub devices: Vec<String>,
    /// Device over which the nodes reach each other, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[A-Za-z0-9_.:@-]+$"))]
    #[x_kube(validation = Rule::new("self != 'lo'").message("spec.directRoutingDevice must not be lo"))]
    pub direct_routing_device: Option<String>,
    /// How NodePorts are served.
    #[serde(default)]
    pub node_port: NodePort,
    /// How `sessionAffinity: ClientIP` of Services is served.
    #[serde(default)]
    pub session_affinity: SessionAffinity,
    /// How traffic from outside of the cluster is balanced and forwarded.
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    /// Load balancing at the socket, for clients on the nodes and in pods.
    #[serde(rename = "socketLB", default)]
    pub socket_lb: SocketLb,
    /// Sizes of the eBPF maps.
    #[serde(default)]
    pub maps: Maps,
    /// What is measured beside what costs nothing.
    #[serde(default)]
    pub metrics: Metrics,
    /// What happens to a kube-proxy that still runs.
    #[serde(default)]
    pub kube_proxy: KubeProxy,
    /// How a change reaches the nodes.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
}

/// What the operator sees of the pool.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeProxyReplacementStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Nodes of the pool.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::count")]
    pub desired_nodes: u32,
    /// Nodes of the pool whose agent has applied the newest generation.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::count")]
    pub updated_nodes: u32,
    /// Nodes of the pool whose datapath serves.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::count")]
    pub ready_nodes: u32,
    /// How the generations reached the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// `Available`, `Progressing`, `Degraded`, `Conflicted`, `KubeProxyAbsent`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is remembered of rollouts: which generation is good, and which one is not tried again.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The last generation that reached every node of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_generation: Option<i64>,
    /// Why the newest generation was stopped. It is not tried again; the next generation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RolloutFailure>,
}

/// Why a rollout was stopped: the first node that did not become ready with it.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutFailure {
    /// The generation that was stopped.
    pub generation: i64,
    /// Name of the node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The reason that the node gave, or `ProgressDeadlineExceeded`.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// What the node said, in one line.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Are the changed nodes back at what they served with before? Only with `onFailure: Rollback`.
    #[serde(default)]
    pub rolled_back: bool,
}
