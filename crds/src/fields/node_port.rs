//! How NodePorts are served.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{PortRange, PortRangeError};

/// How NodePorts are served.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePort {
    /// Ports that the API server gives to NodePorts (its `--service-node-port-range`), as FIRST-LAST.
    #[serde(default = "default_range")]
    #[schemars(length(max = 11), regex(pattern = r"^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$"))]
    #[x_kube(validation = Rule::new("self.split('-').all(p, int(p) <= 65535)")
        .message("spec.nodePort.range: a port is at most 65535"))]
    #[x_kube(validation = Rule::new("int(self.split('-')[0]) <= int(self.split('-')[1])")
        .message("spec.nodePort.range is reversed: the first port must not be above the last, as in 30000-32767"))]
    pub range: String,
    /// Addresses of a node that serve NodePorts: `all` (every address of it), `primary` (the InternalIP of the Node
    /// object, one of each family), `localhost`, or CIDRs of either family that the node's addresses are compared with. CIDRs
    /// of one family alone leave the other as with `all`. hostPorts are served on every address.
    #[serde(default = "default_addresses")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(a, a in ['all', 'primary', 'localhost'] || isCIDR(a))")
            .message("spec.nodePort.addresses: each must be a CIDR such as 10.0.0.0/8 or fd00::/8, or one of all, primary, localhost"),
    )]
    pub addresses: Vec<String>,
    /// Refuse `bind` of a process on the node (not in a pod's own network namespace) to an address and port that a
    /// NodePort or a hostPort has.
    #[serde(default = "default_bind_protection")]
    pub bind_protection: bool,
}

impl NodePort {
    /// The range, parsed.
    pub fn port_range(&self) -> Result<PortRange, PortRangeError> {
        self.range.parse()
    }
}

impl Default for NodePort {
    fn default() -> Self {
        Self {
            range: default_range(),
            addresses: default_addresses(),
            bind_protection: default_bind_protection(),
        }
    }
}

// Field by field: the schema derive knows no default of a whole struct.

fn default_range() -> String {
    "30000-32767".to_owned()
}

fn default_addresses() -> Vec<String> {
    vec!["all".to_owned()]
}

fn default_bind_protection() -> bool {
    true
}
