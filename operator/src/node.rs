//! What the operator needs to know of a Node.

mod labels;

use k8s_openapi::api::core::v1::Node;

pub use labels::{Labels, Shared};

/// A Node, reduced to what decisions depend on. The full object is not kept: it is large, and its status changes often.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeView {
    /// Labels, for node selectors.
    pub labels: Labels,
    /// False when the cluster itself says that the node is not ready: nothing can be expected of its agent.
    /// A Node that says nothing about it (it has just joined) counts as up.
    pub up: bool,
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        Self {
            labels: node.metadata.labels.unwrap_or_default().into(),
            up: ready.is_none_or(|condition| condition.status == "True"),
        }
    }
}

impl NodeView {
    /// The same, sharing its texts with those of other nodes.
    #[must_use]
    pub fn shared(self, texts: &Shared) -> Self {
        Self {
            labels: texts.share(self.labels),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_down_only_if_the_cluster_says_so() {
        let node = |ready: Option<&str>| -> Node {
            let conditions: Vec<_> = ready
                .iter()
                .map(|status| serde_json::json!({ "type": "Ready", "status": status }))
                .collect();
            serde_json::from_value(serde_json::json!({ "status": { "conditions": conditions } })).expect("node")
        };
        for (ready, up) in [
            (None, true),
            (Some("True"), true),
            (Some("False"), false),
            (Some("Unknown"), false),
        ] {
            assert_eq!(NodeView::from(node(ready)).up, up, "Ready={ready:?}");
        }
    }
}
