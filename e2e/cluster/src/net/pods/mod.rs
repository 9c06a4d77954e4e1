//! How pods are wired, the way real CNIs do it. Pure: it yields commands of `ip` and `bridge`, and firewall rules.

mod bridge;
mod policy_routed;
mod ptp;
mod script;
mod vxlan;

pub(super) use self::script::set_addresses;
use super::{Plugin, Rule};
use crate::{
    address::{Addresses, Family},
    spec::{ClusterSpec, NodeSpec},
};

/// The device that leads a node to the others (and, in a pod, to its node).
pub const UPLINK: &str = "eth0";

/// The second such device of nodes that have one.
pub const SECOND_UPLINK: &str = "eth1";

/// The bridge that a node's pods hang on in [`PodNetwork::Bridge`].
pub const POD_BRIDGE: &str = "cni0";

/// A way to wire pods to their node and nodes to each other's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// What flannel's `host-gw` backend makes: pods hang on `cni0`, which has the first address of the pod CIDR, and every node
    /// has a route to every other node's pod CIDR.
    Bridge,
    /// Calico's wiring: no bridge, but a veth and a /32 (IPv6: /128) route per pod. The pod's IPv4 gateway is an address that
    /// nobody has; the node's end of the veth answers for it (`proxy_arp`). Its IPv6 gateway is the link-local address of that end.
    PointToPoint,
    /// flannel's `vxlan` backend: pods hang on `cni0`, and other nodes' pods are behind a tunnel for each family, which has the
    /// first address of the pod CIDR itself and knows the others' by static neighbour and forwarding entries.
    Vxlan,
    /// The AWS VPC CNI's wiring: pods have addresses of the nodes' own network, half of them at the node's second device. What such
    /// a pod sends takes the way of that device, by a routing rule and a table of its own.
    PolicyRouted,
    /// Pods are made by the real plugins, which also choose their addresses; every node has a route to every other node's pod
    /// CIDR.
    Plugin(Plugin),
}

/// How a node is prepared for its pods, and for reaching those of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeWiring {
    /// Sysctls, set first.
    pub sysctls: Vec<(String, &'static str)>,
    /// Commands of `ip`.
    pub ip: Vec<String>,
    /// Commands of `bridge`, carried out after those.
    pub bridge: Vec<String>,
    /// Routing rules.
    pub rules: Vec<Rule>,
    /// The CNI's own firewall rules, as `iptables-restore` reads them.
    pub firewall: Vec<(Family, String)>,
}

/// The two ends of a pod's wiring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodWiring {
    /// Commands for the node's namespace, carried out first.
    pub on_node: Vec<String>,
    /// Sysctls of the node's namespace, set after that.
    pub node_sysctls: Vec<(String, &'static str)>,
    /// Routing rules of the node, which go with the pod.
    pub rules: Vec<Rule>,
    /// Commands for the pod's namespace.
    pub in_pod: Vec<String>,
    /// Commands for the node's namespace when the pod is gone.
    pub afterwards: Vec<String>,
}

impl PodNetwork {
    /// Prepares `node` for its pods, and for reaching the pods of `others`.
    pub fn node_wiring(self, spec: &ClusterSpec, node: &NodeSpec, others: &[&NodeSpec]) -> NodeWiring {
        match self {
            Self::Bridge => NodeWiring {
                ip: [bridge::node(node), script::routes_to(others)].concat(),
                ..NodeWiring::default()
            },
            Self::PointToPoint => NodeWiring {
                ip: [ptp::blackholes(node), script::routes_to(others)].concat(),
                ..NodeWiring::default()
            },
            Self::Vxlan => vxlan::node(spec, node, others),
            Self::PolicyRouted => policy_routed::node(spec, node),
            Self::Plugin(_) => NodeWiring {
                ip: script::routes_to(others),
                ..NodeWiring::default()
            },
        }
    }

    /// Gives the pod whose namespace is `pod_netns` the addresses `pod`, through a veth called `veth` on the node.
    pub fn pod_wiring(self, node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
        match self {
            Self::Bridge => bridge::pod(node, pod_netns, veth, pod),
            Self::PointToPoint => ptp::pod(pod_netns, veth, pod),
            Self::Vxlan => vxlan::pod(node, pod_netns, veth, pod),
            Self::PolicyRouted => policy_routed::pod(node, pod_netns, veth, pod),
            // Its two ends are the plugin's affair.
            Self::Plugin(_) => PodWiring::default(),
        }
    }

    /// Index of the first address of a pod CIDR that a pod may have: the network itself and the gateway are taken.
    pub fn first_pod_index(self) -> u32 {
        match self {
            Self::Bridge | Self::Vxlan | Self::Plugin(_) => 2,
            Self::PointToPoint | Self::PolicyRouted => 1,
        }
    }

    /// Whether a plugin chooses the pods' addresses.
    pub fn chooses_addresses(self) -> bool {
        matches!(self, Self::Plugin(_))
    }

    /// As whom `node` speaks to another node's pods: the addresses of the device that leads there.
    pub fn towards_other_nodes(self, node: &NodeSpec) -> Addresses {
        match self {
            Self::Bridge | Self::PointToPoint | Self::PolicyRouted | Self::Plugin(_) => node.addresses,
            Self::Vxlan => node.pod_cidrs.nth(0),
        }
    }
}
