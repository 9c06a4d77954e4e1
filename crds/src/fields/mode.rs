//! Which Services kpr serves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of kube-proxy's work kpr takes over.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// kpr serves every kind of Service, and reports a conflict while kube-proxy runs.
    #[default]
    Strict,
    /// kpr serves only the kinds that `services` turns on; kube-proxy keeps the rest.
    Partial,
}

impl Mode {
    /// The value as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Partial => "Partial",
        }
    }
}

/// The kinds of Service frontends, each on or off.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, named by the API")]
pub struct Services {
    /// Cluster IPs, from pods and from the nodes themselves.
    #[serde(rename = "clusterIP", default)]
    pub cluster_ip: bool,
    /// NodePorts.
    #[serde(rename = "nodePort", default)]
    pub node_port: bool,
    /// Addresses in `status.loadBalancer` of Services.
    #[serde(rename = "loadBalancer", default)]
    pub load_balancer: bool,
    /// Addresses in `spec.externalIPs` of Services.
    #[serde(rename = "externalIPs", default)]
    pub external_ips: bool,
    /// `hostPort` of containers. Off: left to the CNI's own plugin (`portmap`).
    #[serde(rename = "hostPort", default)]
    pub host_port: bool,
}

impl Services {
    /// Every kind: what `Strict` serves.
    pub const ALL: Self = Self {
        cluster_ip: true,
        node_port: true,
        load_balancer: true,
        external_ips: true,
        host_port: true,
    };
}
