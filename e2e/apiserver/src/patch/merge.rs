//! JSON merge patch (RFC 7396).

use serde_json::Value;

/// Merges `patch` into `target`: null removes, objects merge, all else replaces.
pub(crate) fn apply(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}
