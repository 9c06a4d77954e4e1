//! What a test cluster is made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use ipnet::{Ipv4Net, Ipv6Net};

pub use crate::address::Families;
use crate::{
    address::{Addresses, Family, Prefixes},
    net::{Plugin, PodNetwork},
};

/// The port of the API server on the first node, as minikube has it.
pub const API_PORT: u16 = 8443;

/// A cluster to build. [`ClusterSpec::default`] is the two-node IPv4 cluster of the demo.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The kind of network that the rest follows from.
    shape: Shape,
    /// The address families of everything in it.
    families: Families,
    /// The nodes; the API server listens on the first one.
    pub nodes: Vec<NodeSpec>,
    /// The network that joins nodes and the outside client.
    pub node_network: Prefixes,
    /// The outside client, which is also the nodes' default gateway and forwards nothing.
    pub client: Addresses,
    /// A router on the nodes' network that forwards within it, where there is one.
    pub router: Addresses,
    /// Where ClusterIPs come from.
    pub service_cidrs: Prefixes,
    /// What pods' addresses are of, on whichever node.
    pub pod_range: Prefixes,
    /// How pods are wired to their node and nodes to each other's pods.
    pub pod_network: PodNetwork,
    /// Whether the CNI's own rules give pods that speak to the outside their node's address.
    pub masquerade: bool,
    /// What serves its API; none: what the environment says ([`ControlPlaneKind::of_environment`]).
    pub control_plane: Option<ControlPlaneKind>,
    /// Whether the cables of the nodes' network are like real ones, for XDP: packets leave machines with their checksums and no longer than
    /// the MTU. None: if the environment asks for XDP ([`LoadBalancerDefaults`](crate::load_balancer::LoadBalancerDefaults)).
    pub real_wires: Option<bool>,
    /// `net.ipv4.conf.*.rp_filter` of the nodes. 2 (loose) is what systemd sets on most distributions.
    pub rp_filter: u8,
}

/// A kind of network that a cluster can have, after the CNIs that make such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Pods on a bridge, routes between nodes (flannel host-gw)
    #[default]
    Bridge,
    /// A veth and a /32 route per pod (Calico)
    Ptp,
    /// Pods on a bridge, an overlay between nodes, no masquerade (flannel's binary by itself)
    Vxlan,
    /// The same with the CNI's masquerade rules (flannel as its manifest installs it)
    Flannel,
    /// Pod addresses of the nodes' own network on two devices, chosen by routing rules (AWS VPC CNI)
    PolicyRouted,
    /// Pods made by the real plugins `bridge` and `host-local` (needs Debian's containernetworking-plugins)
    CniBridge,
    /// Pods made by the real plugins `ptp` and `host-local`, as kindnet asks for them (the same package)
    CniPtp,
}

/// What serves a cluster's API and runs its controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ControlPlaneKind {
    /// The API server and the few controllers of this project, in this process: stands in milliseconds.
    #[default]
    InMemory,
    /// etcd, kube-apiserver, kube-controller-manager and kube-scheduler (`cargo xtask conformance` builds them).
    Real,
}

impl ControlPlaneKind {
    /// The environment variable that chooses one for clusters whose spec does not: `in-memory` or `real`.
    pub const VARIABLE: &str = "KPR_CONTROL_PLANE";

    /// The one that [`Self::VARIABLE`] names, else the default.
    pub fn of_environment() -> anyhow::Result<Self> {
        use clap::ValueEnum as _;
        match std::env::var(Self::VARIABLE) {
            Ok(name) => Self::from_str(&name, false).map_err(|error| anyhow::anyhow!("{}: {error}", Self::VARIABLE)),
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(error) => Err(error).context(Self::VARIABLE),
        }
    }
}

/// One node of a [`ClusterSpec`].
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The Node object's name, and the name of its namespace within the cluster.
    pub name: String,
    /// Its `InternalIP` addresses.
    pub addresses: Addresses,
    /// Addresses of its second device; none, and it has no such device.
    pub second: Addresses,
    /// The prefixes its pods get their addresses from.
    pub pod_cidrs: Prefixes,
    /// Its `topology.kubernetes.io/zone`.
    pub zone: String,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self::build(Shape::default(), Families::default())
    }
}

impl ClusterSpec {
    /// The two-node IPv4 cluster with this network.
    pub fn of(shape: Shape) -> Self {
        Self::build(shape, Families::default())
    }

    /// The same with these address families.
    #[must_use]
    pub fn families(self, families: Families) -> Self {
        Self {
            rp_filter: self.rp_filter,
            control_plane: self.control_plane,
            real_wires: self.real_wires,
            ..Self::build(self.shape, families)
        }
    }

    /// With this `rp_filter` on the nodes.
    #[must_use]
    pub fn rp_filter(mut self, rp_filter: u8) -> Self {
        self.rp_filter = rp_filter;
        self
    }

    /// With cables that are like real ones.
    #[must_use]
    pub fn with_real_wires(mut self) -> Self {
        self.real_wires = Some(true);
        self
    }

    /// With this control plane.
    #[must_use]
    pub fn control_plane(mut self, kind: ControlPlaneKind) -> Self {
        self.control_plane = Some(kind);
        self
    }

    fn build(shape: Shape, families: Families) -> Self {
        let pod_network = match shape {
            Shape::Bridge => PodNetwork::Bridge,
            Shape::Ptp => PodNetwork::PointToPoint,
            Shape::Vxlan | Shape::Flannel => PodNetwork::Vxlan,
            Shape::PolicyRouted => PodNetwork::PolicyRouted,
            Shape::CniBridge => PodNetwork::Plugin(Plugin::Bridge),
            Shape::CniPtp => PodNetwork::Plugin(Plugin::PointToPoint),
        };
        let node = |(name, index)| {
            let node = NodeSpec::numbered(name, index, families);
            if shape == Shape::PolicyRouted {
                node.with_a_second_device(index, families)
            } else {
                node
            }
        };
        let node_network = Prefixes::of(families, v4_net([192, 168, 49, 0], 24), v6_net(node_v6(0), 64));
        let pod_range = if shape == Shape::PolicyRouted {
            node_network
        } else {
            let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0);
            Prefixes::of(families, v4_net([10, 244, 0, 0], 16), v6_net(v6, 48))
        };
        let router = if shape == Shape::PolicyRouted {
            Addresses::of(families, [192, 168, 49, 1].into(), node_v6(0x1))
        } else {
            Addresses::default()
        };
        Self {
            shape,
            families,
            nodes: [("node-a", 0), ("node-b", 1)].map(node).into(),
            node_network,
            pod_range,
            client: Addresses::of(families, [192, 168, 49, 100].into(), node_v6(0x100)),
            router,
            service_cidrs: Prefixes::of(
                families,
                v4_net([10, 96, 0, 0], 16),
                v6_net(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112),
            ),
            pod_network,
            masquerade: matches!(shape, Shape::Flannel | Shape::PolicyRouted),
            control_plane: None,
            real_wires: None,
            rp_filter: 2,
        }
    }

    /// The kind of network.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The address families of its nodes, pods and Services.
    pub fn address_families(&self) -> Families {
        self.families
    }

    /// Whether a pod reaches the address of another node at all, Services aside. Without a masquerade it sends such packets under
    /// its own address by the nodes' network; where routes to pods lead through an overlay, that is the wrong way to come for a
    /// strict `rp_filter` (RFC 3704), which IPv6 does not have.
    pub fn nodes_hear_remote_pods(&self, family: Family) -> bool {
        self.pod_network != PodNetwork::Vxlan || self.masquerade || self.rp_filter != 1 || family == Family::V6
    }

    /// Whether nodes take what others have encapsulated (DSR). A strict `rp_filter` has the kernel drop what a client outside says when it
    /// comes by an overlay, so they don't; IPv6 has no such check.
    pub fn nodes_take_encapsulated_packets(&self) -> bool {
        self.pod_network != PodNetwork::Vxlan || self.rp_filter != 1 || !self.families.has(Family::V4)
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
        Self::numbered(name, index, Families::Ipv4)
    }

    /// The `index`-th node of a cluster: 192.168.49.(2 + index) and fd00:49::(2 + index), pods in 10.244.`index`.0/24 and
    /// fd00:10:244:`index`::/64.
    pub fn numbered(name: &str, index: u8, families: Families) -> Self {
        let pods_v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, index.into(), 0, 0, 0, 0);
        Self {
            name: name.to_owned(),
            addresses: Addresses::of(
                families,
                [192, 168, 49, 2 + index].into(),
                node_v6(2 + u16::from(index)),
            ),
            second: Addresses::default(),
            pod_cidrs: Prefixes::of(families, v4_net([10, 244, index, 0], 24), v6_net(pods_v6, 64)),
            zone: format!("zone-{}", char::from(b'a' + index % 26)),
        }
    }

    /// With a second device on the nodes' network, 192.168.49.(12 + index) and fd00:49::(12 + index), and pods that have addresses
    /// of that network too: 192.168.49.(128 + 32 · index)/27 and fd00:49::(80 + index):0:0:0/80.
    fn with_a_second_device(self, index: u8, families: Families) -> Self {
        let pods_v6 = Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0x80 + u16::from(index), 0, 0, 0);
        Self {
            second: Addresses::of(
                families,
                [192, 168, 49, 12 + index].into(),
                node_v6(0x12 + u16::from(index)),
            ),
            pod_cidrs: Prefixes::of(
                families,
                v4_net([192, 168, 49, 128 + 32 * index], 27),
                v6_net(pods_v6, 80),
            ),
            ..self
        }
    }
}

/// An address of the nodes' network.
fn node_v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0, 0, 0, last)
}

fn v4_net(address: impl Into<Ipv4Addr>, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address.into(), length)
}

fn v6_net(address: Ipv6Addr, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, length)
}
