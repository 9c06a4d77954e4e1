//! Names that the parts of kpr agree on: group, labels, finalizer, field managers.

/// API group of both kinds.
pub const GROUP: &str = "kpr.dev";
/// Served and stored version.
pub const VERSION: &str = "v1alpha1";

/// Label of a `NodeDatapath`: the name of the `KubeProxyReplacement` that it belongs to.
pub const POLICY_LABEL: &str = "kpr.dev/policy";

/// Finalizer of a `KubeProxyReplacement`: held until every node has removed its datapath.
pub const FINALIZER: &str = "kpr.dev/datapath";

/// Field manager of what the operator writes with server-side apply.
pub const OPERATOR_MANAGER: &str = "kpr-operator";

/// Field manager of what a node agent writes with server-side apply.
pub const AGENT_MANAGER: &str = "kpr-node-agent";

/// Lease by which one of several operators is the leader.
pub const OPERATOR_LEASE: &str = "kpr-operator";
