//! What tests of both kinds of rules start from.

use super::desired::{Endpoints, Family, NodeRules, ServicePort};

pub(super) fn node() -> NodeRules {
    NodeRules {
        family: Family::V4,
        cluster_cidr: "10.0.0.0/8".parse().ok(),
        node_ip: [192, 168, 0, 2].into(),
        counters: false,
    }
}

/// A port of Service `ns1/svc1` with these endpoints in the cluster, and on the node.
pub(super) fn port(cluster: &[&str], local: &[&str]) -> ServicePort {
    let parsed = |list: &[&str]| list.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    ServicePort {
        endpoints: Endpoints {
            cluster: parsed(cluster),
            local: parsed(local),
        },
        ..ServicePort::named("ns1", "svc1", "p80")
    }
}
