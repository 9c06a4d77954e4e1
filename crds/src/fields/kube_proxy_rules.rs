//! What becomes of rules that a kube-proxy left on a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the agent does with rules of a kube-proxy on its node.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum KubeProxyRules {
    /// Leave them: kube-proxy runs, may run again in a moment, or is nobody's business here.
    #[default]
    Keep,
    /// Remove them: kube-proxy is parked, and none is left on the node.
    Remove,
}

impl KubeProxyRules {
    /// The value as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "Keep",
            Self::Remove => "Remove",
        }
    }
}
