//! How traffic from outside of the cluster is balanced and forwarded.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PortRange, PortRangeError};

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Algorithm {
    /// Each new flow goes to a random backend.
    #[default]
    Random,
    /// Maglev's consistent hashing: every node picks the same backend for a flow, and few flows move when backends change.
    Maglev,
    /// Of two random backends, the one with fewer connections from this node. Counts what it leads to backends itself: connections
    /// of the node's pods, and those that come to it from outside.
    LeastConnections,
}

/// How a packet from outside reaches a backend on another node.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ForwardingMode {
    /// With the node's address as its source; the reply comes back through this node.
    #[default]
    #[serde(rename = "SNAT")]
    Snat,
    /// With the client's address kept; the backend's node answers the client itself.
    #[serde(rename = "DSR")]
    Dsr,
    /// DSR for TCP, SNAT for UDP.
    Hybrid,
}

/// What is put in front of a packet that goes to the backend's node as it is (DSR).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DsrDispatch {
    /// Headers of IP, UDP (port 6081) and Geneve: passes wherever UDP does.
    #[default]
    Geneve,
    /// An IP header (protocol 4, or 41 for IPv6): 16 bytes shorter, and dropped by many clouds.
    #[serde(rename = "IPIP")]
    Ipip,
}

/// Whether packets of known flows to and from backends on other nodes are handled by XDP, before the kernel's own stack; all others are
/// handled by tc in any case.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Acceleration {
    /// No XDP program.
    #[default]
    Disabled,
    /// XDP in the driver of each device where it can be, behind the driver elsewhere, and none where neither is possible.
    BestEffort,
    /// XDP in the driver of every device with an Ethernet header that is no tunnel; one without it is an error, and served by tc.
    Native,
}

/// How traffic from outside of the cluster is balanced and forwarded.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// How a backend is chosen.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Slots of each Service's Maglev table: a prime, best at least 100 times the backends of the largest Service.
    /// It can't be changed: nodes with different tables would send the packets of one flow to different backends.
    #[serde(default = "default_maglev_table_size")]
    #[schemars(schema_with = "crate::schema::int::<251, 131071>")]
    #[x_kube(validation = Rule::new("self in [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071]")
        .message("spec.loadBalancer.maglevTableSize must be one of the primes 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("spec.loadBalancer.maglevTableSize can't be changed: nodes with different tables would disagree about the backend of a flow"))]
    pub maglev_table_size: u32,
    /// How a packet from outside reaches a backend on another node.
    #[serde(default)]
    pub mode: ForwardingMode,
    /// What is put in front of a packet that goes to the backend's node as it is (modes DSR and Hybrid). Nodes take either.
    #[serde(default)]
    pub dsr_dispatch: DsrDispatch,
    /// Whether XDP takes packets of known flows before the kernel's own stack does.
    #[serde(default)]
    pub acceleration: Acceleration,
    /// Source ports for SNAT, as FIRST-LAST. The agent keeps the node's own connections out of them
    /// (`net.ipv4.ip_local_reserved_ports`).
    #[serde(default = "default_snat_ports")]
    #[schemars(length(max = 11), regex(pattern = r"^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$"))]
    #[x_kube(validation = Rule::new("self.split('-').all(p, int(p) >= 1024 && int(p) <= 65535)")
        .message("spec.loadBalancer.snatPorts: a port is from 1024 to 65535"))]
    #[x_kube(validation = Rule::new("int(self.split('-')[0]) <= int(self.split('-')[1])")
        .message("spec.loadBalancer.snatPorts is reversed: the first port must not be above the last, as in 45000-65535"))]
    pub snat_ports: String,
}

impl LoadBalancer {
    /// The source ports for SNAT, parsed.
    pub fn snat_port_range(&self) -> Result<PortRange, PortRangeError> {
        self.snat_ports.parse()
    }
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            maglev_table_size: default_maglev_table_size(),
            mode: ForwardingMode::default(),
            dsr_dispatch: DsrDispatch::default(),
            acceleration: Acceleration::default(),
            snat_ports: default_snat_ports(),
        }
    }
}

// Field by field: the schema derive knows no default of a whole struct.

fn default_maglev_table_size() -> u32 {
    16381
}

fn default_snat_ports() -> String {
    "45000-65535".to_owned()
}
