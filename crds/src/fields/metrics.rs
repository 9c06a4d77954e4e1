//! What is measured beside what costs nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is measured beside what costs nothing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Counts by Service port.
    pub per_service: PerService,
}

/// Connections, packets and bytes, counted by Service port: the metrics `kpr_service_*`. Each packet of a Service's flows takes one look-up
/// more.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PerService {
    /// Count.
    pub enabled: bool,
    /// Most Service ports that are counted on a node, and so told to Prometheus. Those that are counted already stay, others come in the
    /// order of their names.
    #[schemars(schema_with = "crate::schema::int::<1, 10000>")]
    pub max_service_ports: u32,
}

impl Default for PerService {
    fn default() -> Self {
        Self {
            enabled: false,
            max_service_ports: 1_000,
        }
    }
}

impl Metrics {
    /// Nothing is asked for: what an older agent, which does not know the field, does in any case.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
