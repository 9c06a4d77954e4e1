//! What a test cluster is made of.

use std::net::{IpAddr, SocketAddr};

use crate::{
    address::{Addresses, Prefixes},
    net::PodNetwork,
};

/// The port of the API server on the first node, as minikube has it.
pub const API_PORT: u16 = 8443;

/// A cluster to build. [`ClusterSpec::default`] is the two-node IPv4 cluster of the demo.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The nodes; the API server listens on the first one.
    pub nodes: Vec<NodeSpec>,
    /// The network that joins nodes and the outside client.
    pub node_network: Prefixes,
    /// The outside client, which is also the nodes' default gateway and forwards nothing.
    pub client: Addresses,
    /// How pods are wired to their node and nodes to each other's pods.
    pub pod_network: PodNetwork,
    /// `net.ipv4.conf.*.rp_filter` of the nodes. 2 (loose) is what systemd sets on most distributions.
    pub rp_filter: u8,
}

/// A kind of network that a cluster can have, after the CNIs that make such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Pods on a bridge, routes between nodes (kindnet, flannel host-gw)
    #[default]
    Bridge,
    /// A veth and a /32 route per pod (Calico)
    Ptp,
    /// Pods on a bridge, an overlay between nodes (flannel)
    Vxlan,
}

/// One node of a [`ClusterSpec`].
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The Node object's name, and the name of its namespace within the cluster.
    pub name: String,
    /// Its `InternalIP` addresses.
    pub addresses: Addresses,
    /// The prefixes its pods get their addresses from.
    pub pod_cidrs: Prefixes,
    /// Its `topology.kubernetes.io/zone`.
    pub zone: String,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            nodes: vec![NodeSpec::ipv4("node-a", 0), NodeSpec::ipv4("node-b", 1)],
            node_network: Prefixes::v4(ipv4_net([192, 168, 49, 0], 24)),
            client: Addresses::v4([192, 168, 49, 100].into()),
            pod_network: PodNetwork::Bridge,
            rp_filter: 2,
        }
    }
}

impl ClusterSpec {
    /// The two-node cluster with this network.
    pub fn of(shape: Shape) -> Self {
        let pod_network = match shape {
            Shape::Bridge => PodNetwork::Bridge,
            Shape::Ptp => PodNetwork::PointToPoint,
            Shape::Vxlan => PodNetwork::Vxlan,
        };
        Self {
            pod_network,
            ..Self::default()
        }
    }

    /// With this `rp_filter` on the nodes.
    #[must_use]
    pub fn rp_filter(mut self, rp_filter: u8) -> Self {
        self.rp_filter = rp_filter;
        self
    }

    /// Whether a pod reaches the address of another node at all, Services aside. It sends such packets under its own address by
    /// the nodes' network (there is no masquerade); where routes to pods lead through an overlay, that is the wrong way to come
    /// for a strict `rp_filter` (RFC 3704).
    pub fn nodes_hear_remote_pods(&self) -> bool {
        self.pod_network != PodNetwork::Vxlan || self.rp_filter != 1
    }

    /// Where the nodes reach the API server: never a Service address, so that agents do not depend on themselves.
    pub fn api_endpoint(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.nodes.first()?.addresses.primary()?;
        Some(SocketAddr::new(address, API_PORT))
    }

    /// The node called `name`.
    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// True if any node has an IPv6 address.
    pub fn has_ipv6(&self) -> bool {
        self.node_network.v6.is_some()
    }
}

impl NodeSpec {
    /// The `index`-th node of an IPv4 cluster: 192.168.49.(2 + index), pods in 10.244.`index`.0/24.
    pub fn ipv4(name: &str, index: u8) -> Self {
        Self {
            name: name.to_owned(),
            addresses: Addresses::v4([192, 168, 49, 2 + index].into()),
            pod_cidrs: Prefixes::v4(ipv4_net([10, 244, index, 0], 24)),
            zone: format!("zone-{}", char::from(b'a' + index % 26)),
        }
    }
}

fn ipv4_net(address: [u8; 4], length: u8) -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new_assert(address.into(), length)
}
