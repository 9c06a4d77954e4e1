//! What happens to a kube-proxy that still runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator does about kube-proxy.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum KubeProxyPolicy {
    /// Only say whether it runs.
    #[default]
    Observe,
    /// Park its DaemonSet by a node selector, once every node is ready, and clean its rules up; deleting the
    /// `KubeProxyReplacement` brings it back.
    Disable,
}

/// What happens to a kube-proxy that still runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeProxy {
    /// What the operator does about kube-proxy.
    pub policy: KubeProxyPolicy,
}
