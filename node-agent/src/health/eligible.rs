//! Whether load balancers may send new connections to this node (KEP-3836).

use crate::watch::NodeInput;

/// The cluster autoscaler puts it on a node that it is about to remove.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Whether the Node is here to stay: it exists, is not being deleted, and the autoscaler does not want it gone. Other
/// taints say nothing about traffic.
pub fn node_eligible(node: Option<&NodeInput>) -> bool {
    node.is_some_and(|node| !node.deleting && node.taints.iter().all(|key| &**key != TO_BE_DELETED))
}
