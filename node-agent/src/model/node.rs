//! What the rules need to know about the node they are applied on.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use kpr_abi::TableSize;

use super::Kind;

/// Facts about this node. A change of any of them concerns every service: call
/// [`Index::touch_all`](super::Index::touch_all).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name of the Node object; an endpoint is local if its `nodeName` says the same.
    pub name: Arc<str>,
    /// Label `topology.kubernetes.io/zone`, for zone hints.
    pub zone: Option<Arc<str>>,
    /// The Node's own addresses: from where its packets come to a LoadBalancer IP.
    pub ips: Vec<IpAddr>,
    /// Which kinds of frontends are served (mode `Partial` leaves some to kube-proxy).
    pub kinds: Kinds,
    /// Session affinity: `None` where it is switched off; else the time-out, in seconds, of Services that name none.
    pub affinity_default_seconds: Option<u32>,
    /// Maglev tables, of this size, for frontends that [several nodes share](Kind::is_shared_by_nodes); none: a random choice.
    pub maglev: Option<TableSize>,
    /// With DSR, the nodes that take encapsulated packets, this one perhaps among them; none without.
    pub dsr_takers: Option<Arc<BTreeSet<Arc<str>>>>,
    /// What the datapath can enforce.
    pub capabilities: Capabilities,
}

impl NodeFacts {
    /// A node that serves every kind, with Kubernetes' defaults, and a datapath that can do everything.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            zone: None,
            ips: Vec::new(),
            kinds: Kinds::ALL,
            affinity_default_seconds: Some(10_800),
            maglev: None,
            dsr_takers: None,
            capabilities: Capabilities::ALL,
        }
    }
}

/// Which kinds of frontends are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch per kind, as users set them")]
pub struct Kinds {
    /// ClusterIPs.
    pub cluster_ip: bool,
    /// NodePorts.
    pub node_port: bool,
    /// IPs of `status.loadBalancer.ingress`.
    pub load_balancer: bool,
    /// `spec.externalIPs`.
    pub external_ips: bool,
    /// `hostPort` of this node's Pods.
    pub host_port: bool,
}

impl Kinds {
    /// Mode `Strict`.
    pub const ALL: Self = Self {
        cluster_ip: true,
        node_port: true,
        load_balancer: true,
        external_ips: true,
        host_port: true,
    };

    /// Whether frontends of this kind are served.
    pub const fn serves(self, kind: Kind) -> bool {
        match kind {
            Kind::ClusterIp => self.cluster_ip,
            Kind::NodePort => self.node_port,
            Kind::LoadBalancer => self.load_balancer,
            Kind::ExternalIp => self.external_ips,
            Kind::HostPort => self.host_port,
        }
    }
}

/// What the datapath can enforce. What it cannot is left out and reported, never served wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// SCTP ports are translated.
    pub sctp: bool,
    /// `loadBalancerSourceRanges` are enforced. Where they are not, LoadBalancer IPs that have ranges are withheld.
    pub source_ranges: bool,
    /// Session affinity is honoured. Where it is not, services that ask for it are served without.
    pub session_affinity: bool,
}

impl Capabilities {
    /// Everything that the model knows.
    pub const ALL: Self = Self {
        sctp: true,
        source_ranges: true,
        session_affinity: true,
    };
}
