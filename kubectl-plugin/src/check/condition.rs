//! Conditions of pods and nodes.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// Whether an object with these is ready.
pub(super) fn is_ready(conditions: &[Condition]) -> bool {
    let is_it = |condition: &Condition| condition.kind == "Ready" && condition.status == "True";
    conditions.iter().any(is_it)
}
