//! Sizes of the eBPF maps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sizes of the eBPF maps. What is not given is derived from `dynamicSizeRatio`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Maps {
    /// Part of the node's memory that the maps of flows and sockets may take together.
    #[schemars(range(min = 0.0001, max = 0.5))]
    pub dynamic_size_ratio: f64,
    /// Frontends: one for each address, port and protocol of a Service.
    #[schemars(schema_with = "crate::schema::int::<1024, 16777216>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<u32>,
    /// Slots: a Service takes as many as it has endpoints (all, and local ones), and as many more as its Maglev tables have.
    #[schemars(schema_with = "crate::schema::int::<1024, 1073741824>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Backends: one for each endpoint address, port and protocol.
    #[schemars(schema_with = "crate::schema::int::<1024, 16777216>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<u32>,
    /// Flows of traffic from outside (connection tracking and NAT, two entries for a flow with SNAT).
    #[schemars(schema_with = "crate::schema::int::<1024, 16777216>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<u32>,
    /// Peers of unconnected UDP sockets.
    #[schemars(schema_with = "crate::schema::int::<1024, 16777216>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
    /// Clients with session affinity.
    #[schemars(schema_with = "crate::schema::int::<1024, 16777216>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<u32>,
}

impl Default for Maps {
    fn default() -> Self {
        Self {
            dynamic_size_ratio: 0.0025,
            services: None,
            slots: None,
            backends: None,
            flows: None,
            peers: None,
            affinity: None,
        }
    }
}
