//! `sessionAffinity: ClientIP` of Services.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How `sessionAffinity: ClientIP` of Services is served.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinity {
    /// Off: the field of Services is ignored.
    pub enabled: bool,
    /// Seconds for Services that don't say it themselves (`sessionAffinityConfig.clientIP.timeoutSeconds`);
    /// Kubernetes' own default is 10800, its maximum one day.
    #[schemars(schema_with = "crate::schema::int::<1, 86400>")]
    pub default_timeout_seconds: u32,
}

impl Default for SessionAffinity {
    fn default() -> Self {
        Self {
            enabled: true,
            default_timeout_seconds: 10800,
        }
    }
}
