//! What a kube-proxy serves on one node in one address family: pure data, from Kubernetes objects or made up for benchmarks.

mod generate;
mod read;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

pub use self::{generate::generate, read::read};

/// An address family: each has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Whether the address is of the family.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// A transport protocol that Services have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As rules spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// What a node's rules depend on beside Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRules {
    /// The family of all rules.
    pub family: Family,
    /// Where pods are: who asks a ClusterIP from elsewhere is masqueraded (`detectLocalMode: ClusterCIDR`).
    pub cluster_cidr: Option<IpNet>,
    /// The node's own address: NodePorts of nftables are served here.
    pub node_ip: IpAddr,
    /// Whether nftables counts packets by destination. kube-proxy doesn't; iptables does anyway.
    pub counters: bool,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The port's name, which may be empty.
    pub port_name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The Service's address.
    pub cluster_ip: IpAddr,
    /// The port at that address.
    pub port: u16,
    /// The port at every node's address.
    pub node_port: Option<u16>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of load balancers that do not do the balancing themselves (`ipMode: VIP`).
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may ask those; empty: everyone.
    pub source_ranges: Vec<IpNet>,
    /// For how many seconds a client keeps its endpoint.
    pub affinity_seconds: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Where load balancers ask whether this node has an endpoint.
    pub health_check_node_port: Option<u16>,
    /// Its endpoints.
    pub endpoints: Endpoints,
}

/// The endpoints of one port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Those of the whole cluster.
    pub cluster: Vec<SocketAddr>,
    /// Those on this node.
    pub local: Vec<SocketAddr>,
}

impl Endpoints {
    /// Whether there is any at all: without, clients are refused.
    pub fn any(&self) -> bool {
        !self.cluster.is_empty() || !self.local.is_empty()
    }
}

impl ServicePort {
    /// A TCP port 80 without anything else.
    pub fn named(namespace: &str, name: &str, port_name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port_name: port_name.to_owned(),
            protocol: Protocol::Tcp,
            cluster_ip: [172, 30, 0, 41].into(),
            port: 80,
            node_port: None,
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            source_ranges: Vec::new(),
            affinity_seconds: None,
            internal_local: false,
            external_local: false,
            health_check_node_port: None,
            endpoints: Endpoints::default(),
        }
    }

    /// As comments have it: `namespace/name:port`.
    pub fn id(&self) -> String {
        let Self {
            namespace,
            name,
            port_name,
            ..
        } = self;
        if port_name.is_empty() {
            format!("{namespace}/{name}")
        } else {
            format!("{namespace}/{name}:{port_name}")
        }
    }

    /// Whether clients outside can reach it.
    pub fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty() || !self.load_balancer_ips.is_empty()
    }

    /// Endpoints of the whole cluster, where any of its traffic may go there: with `externalTrafficPolicy: Local` that is the
    /// traffic of the node and its pods.
    pub fn cluster_endpoints(&self) -> &[SocketAddr] {
        if self.internal_local && !self.is_external() {
            &[]
        } else {
            &self.endpoints.cluster
        }
    }

    /// Endpoints on this node, where any of its traffic has to go there.
    pub fn local_endpoints(&self) -> &[SocketAddr] {
        if self.internal_local || self.external_local && self.is_external() {
            &self.endpoints.local
        } else {
            &[]
        }
    }

    /// The endpoints that clients of the ClusterIP get.
    pub fn internal_endpoints(&self) -> &[SocketAddr] {
        if self.internal_local {
            self.local_endpoints()
        } else {
            self.cluster_endpoints()
        }
    }

    /// The endpoints that clients outside get.
    pub fn external_endpoints(&self) -> &[SocketAddr] {
        if self.external_local {
            self.local_endpoints()
        } else {
            self.cluster_endpoints()
        }
    }
}
