//! How a change reaches the nodes.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What follows when a node does not become ready with a change.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnFailure {
    /// Change no further node.
    #[default]
    Halt,
    /// Take the changed nodes back to the last good generation.
    Rollback,
}

/// How a change reaches the nodes.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// How many nodes may be not ready because of a change at a time: a number, or a percentage of the pool
    /// (rounded up).
    #[serde(default = "default_max_unavailable")]
    #[schemars(extend("nullable" = false, "maxLength" = 4))]
    #[x_kube(validation = Rule::new("string(self).matches('^([1-9][0-9]*|([1-9][0-9]?|100)%)$')")
        .message("spec.updateStrategy.maxUnavailable must be a number from 1, or a percentage from 1% to 100%"))]
    pub max_unavailable: IntOrString,
    /// What follows when a node does not become ready with a change.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Seconds within which a changed node must be ready.
    #[serde(default = "default_progress_deadline_seconds")]
    #[schemars(schema_with = "crate::schema::int::<10, 86400>")]
    pub progress_deadline_seconds: u32,
}

impl UpdateStrategy {
    /// `maxUnavailable` as a number of nodes in a pool of `nodes`: at least 1, so that a rollout always moves.
    pub fn max_unavailable_of(&self, nodes: usize) -> usize {
        let wanted = match &self.max_unavailable {
            IntOrString::Int(count) => usize::try_from(*count).unwrap_or(0),
            IntOrString::String(text) => match text.strip_suffix('%') {
                Some(percent) => nodes.saturating_mul(percent.parse().unwrap_or(0)).div_ceil(100),
                None => text.parse().unwrap_or(0),
            },
        };
        wanted.max(1)
    }
}

impl Default for UpdateStrategy {
    fn default() -> Self {
        Self {
            max_unavailable: default_max_unavailable(),
            on_failure: OnFailure::default(),
            progress_deadline_seconds: default_progress_deadline_seconds(),
        }
    }
}

// Field by field: the schema derive knows no default of a whole struct.

fn default_max_unavailable() -> IntOrString {
    IntOrString::Int(1)
}

fn default_progress_deadline_seconds() -> u32 {
    600
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_unavailable_is_a_number_or_a_share_rounded_up_but_never_none() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        let table = [
            (IntOrString::Int(3), 40, 3),
            (IntOrString::Int(0), 40, 1),
            (IntOrString::Int(-1), 40, 1),
            (text("10%"), 40, 4),
            (text("10%"), 41, 5),
            (text("1%"), 3, 1),
            (text("100%"), 7, 7),
            (text("5"), 40, 5),
            (text("nonsense"), 7, 1),
            (text("10%"), 0, 1),
        ];
        for (max_unavailable, nodes, expected) in table {
            let strategy = UpdateStrategy {
                max_unavailable: max_unavailable.clone(),
                ..UpdateStrategy::default()
            };
            assert_eq!(
                strategy.max_unavailable_of(nodes),
                expected,
                "{max_unavailable:?} of {nodes}"
            );
        }
    }
}
