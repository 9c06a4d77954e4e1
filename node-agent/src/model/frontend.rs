//! What the model asks for: frontends and their backends.

use std::{fmt, sync::Arc};

use ipnet::IpNet;
use kpr_abi::{BackendValue, Be16, Family, ServiceKey, TableSize, backend, service::flags};

use super::{IpFamily, NamespacedName, Problem, Protocol, ServicePortName};

/// Everything that one Service asks of one address family. No frontends: the Service is gone, or not for this family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService<F: Family> {
    /// The Service.
    pub name: NamespacedName,
    /// Its frontends, ordered by address, port and protocol.
    pub frontends: Vec<Frontend<F>>,
    /// What cannot be served as written.
    pub problems: Vec<Problem>,
}

/// One destination that clients connect to, and the backends that answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend<F: Family> {
    /// Address, port and protocol; address "any" for a NodePort, and for a hostPort without an address.
    pub key: ServiceKey<F::Addr>,
    /// Where in the Service the destination stands.
    pub kind: Kind,
    /// The Service's port.
    pub port: ServicePortName,
    /// Backends under traffic policy `Cluster`, ordered by address and port. All frontends of a port share the list.
    pub cluster: Arc<[Backend<F>]>,
    /// Backends under traffic policy `Local`, in the same order.
    pub local: Arc<[Backend<F>]>,
    /// `externalTrafficPolicy: Local`, on frontends that it applies to.
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`, on frontends that it applies to.
    pub internal_local: bool,
    /// Idle time after which session affinity ends, in seconds; 0 without affinity.
    pub affinity_seconds: u32,
    /// Some endpoint is usable somewhere in the cluster: without a local one, policy `Local` drops instead of refusing.
    pub has_endpoints: bool,
    /// Who may connect (LoadBalancer only); empty: everyone.
    pub source_ranges: Vec<IpNet>,
    /// Packets choose a backend by a Maglev table of this size; none: by chance.
    pub maglev: Option<TableSize>,
}

/// Where in a Service, or in a Pod, a frontend's address stands. In the order in which they win, if one Service names an address twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `spec.ports[].nodePort`, on the node's own addresses.
    NodePort,
    /// `status.loadBalancer.ingress[].ip` with `ipMode: VIP` (KEP-1860). Before external IPs: it can have source ranges.
    LoadBalancer,
    /// `spec.externalIPs`.
    ExternalIp,
    /// `spec.containers[].ports[].hostPort` of a Pod of this node. Last: a NodePort of the same number comes first.
    HostPort,
}

/// One endpoint, as frontends lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend<F: Family> {
    /// Address of the pod, or of whatever the EndpointSlice names.
    pub addr: F::Ip,
    /// Target port, machine byte order.
    pub port: u16,
    /// Protocol of the Service port.
    pub protocol: Protocol,
    /// The endpoint is on this node.
    pub local: bool,
    /// The endpoint is terminating and still serving.
    pub terminating: bool,
    /// The endpoint is on another node, which takes encapsulated packets.
    pub dsr: bool,
}

impl<F: Family> Frontend<F> {
    /// [`flags`] of the frontend's map value.
    pub fn flags(&self) -> u32 {
        let set = |flag: u32, on: bool| if on { flag } else { 0 };
        self.kind.flag()
            | set(flags::EXTERNAL_LOCAL, self.external_local)
            | set(flags::INTERNAL_LOCAL, self.internal_local)
            | set(flags::HAS_ENDPOINTS, self.has_endpoints)
            | set(flags::AFFINITY, self.affinity_seconds > 0)
            | set(flags::SOURCE_RANGES, !self.source_ranges.is_empty())
            | self.maglev.map_or(0, TableSize::flags)
    }
}

impl<F: IpFamily> Frontend<F> {
    /// The source ranges as the trie has them: first address and prefix length.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (F::Addr, u8)> {
        let ranges = self.source_ranges.iter();
        ranges.filter_map(|range| Some((F::Addr::from(F::pick(range.network())?), range.prefix_len())))
    }
}

impl<F: Family> Backend<F> {
    /// The backend as it stands in its family's backend array.
    pub fn value(&self) -> BackendValue<F::Addr> {
        let set = |flag: u8, on: bool| if on { flag } else { 0 };
        BackendValue {
            addr: F::Addr::from(self.addr),
            port: Be16::new(self.port),
            proto: self.protocol.number(),
            flags: set(backend::flags::LOCAL, self.local)
                | set(backend::flags::TERMINATING, self.terminating)
                | set(backend::flags::DSR, self.dsr),
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::ClusterIp,
        Self::NodePort,
        Self::LoadBalancer,
        Self::ExternalIp,
        Self::HostPort,
    ];

    /// External frontends follow the external traffic policy, ClusterIPs the internal one.
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::ClusterIp)
    }

    /// Whether several nodes may get packets of one flow from outside, and must agree on its backend. The backend of a hostPort is the
    /// pod itself.
    pub const fn is_shared_by_nodes(self) -> bool {
        matches!(self, Self::NodePort | Self::LoadBalancer | Self::ExternalIp)
    }

    /// The kind's bit in a map value's flags.
    pub const fn flag(self) -> u32 {
        match self {
            Self::ClusterIp => flags::CLUSTER_IP,
            Self::NodePort => flags::NODE_PORT,
            Self::LoadBalancer => flags::LOAD_BALANCER,
            Self::ExternalIp => flags::EXTERNAL_IP,
            Self::HostPort => flags::HOST_PORT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalIp => "ExternalIP",
            Self::HostPort => "HostPort",
        })
    }
}
