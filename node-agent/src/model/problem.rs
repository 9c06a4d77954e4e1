//! What is wrong with a Service, in words that tell its owner what to do.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Kind, NamespacedName, Protocol};

/// Something about a Service that this node cannot serve as written. The rest of the Service is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{kind}")]
pub struct Problem {
    /// The Service concerned.
    pub service: NamespacedName,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl Problem {
    /// CamelCase, as `reason` of events and conditions.
    pub const fn reason(&self) -> &'static str {
        self.kind.reason()
    }
}

/// What is wrong with a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum ProblemKind {
    /// A field holds something that is not an address, or one that no frontend or backend can have.
    #[error("{field}: {value:?} is not a usable IP address; it is ignored")]
    InvalidAddress {
        /// Path of the field.
        field: &'static str,
        /// What it holds.
        value: Arc<str>,
    },
    /// A source range is not a CIDR.
    #[error("spec.loadBalancerSourceRanges: {value:?} is not a CIDR; the LoadBalancer IPs are not served")]
    InvalidSourceRange {
        /// What the list holds.
        value: Arc<str>,
    },
    /// A port number outside 1..=65535.
    #[error("{field}: {value} is not a port number; it is ignored")]
    InvalidPort {
        /// Path of the field.
        field: &'static str,
        /// What it holds.
        value: i32,
    },
    /// A protocol that Kubernetes does not have.
    #[error("{field}: unknown protocol {value:?}; the port is ignored")]
    UnknownProtocol {
        /// Path of the field.
        field: &'static str,
        /// What it holds.
        value: Arc<str>,
    },
    /// A protocol that this node's datapath does not translate.
    #[error("port {port} uses {protocol}, which this node's datapath does not serve")]
    UnsupportedProtocol {
        /// The Service's port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
    /// Source ranges that this node's datapath does not enforce.
    #[error(
        "{} is not served: this node's datapath does not enforce spec.loadBalancerSourceRanges, and serving \
         it without would let everyone in",
        SocketAddr::new(*.addr, *.port)
    )]
    SourceRangesUnsupported {
        /// The LoadBalancer IP.
        addr: IpAddr,
        /// The Service's port.
        port: u16,
    },
    /// Session affinity that this node's datapath does not honour.
    #[error("spec.sessionAffinity: ClientIP is not honoured by this node's datapath; connections are spread")]
    AffinityUnsupported,
    /// A Service, or another Pod, has the port on the node.
    #[error(
        "hostPort {}/{protocol} belongs to {owner}; it is not served for this Pod", SocketAddr::new(*.addr, *.port)
    )]
    HostPortConflict {
        /// The address; unspecified for every address of the node.
        addr: IpAddr,
        /// The hostPort.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// Who has it.
        owner: NamespacedName,
    },
    /// Another Service, or another port of the same one, has the frontend.
    #[error(
        "{kind} {}/{protocol} belongs to {owner}; it is not served for this Service", SocketAddr::new(*.addr, *.port)
    )]
    FrontendConflict {
        /// The frontend's kind in this Service.
        kind: Kind,
        /// The frontend's address; unspecified for a NodePort.
        addr: IpAddr,
        /// The frontend's port.
        port: u16,
        /// The frontend's protocol.
        protocol: Protocol,
        /// Who has it.
        owner: NamespacedName,
    },
}

impl ProblemKind {
    /// CamelCase, as `reason` of events and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidAddress { .. } => "InvalidAddress",
            Self::InvalidSourceRange { .. } => "InvalidSourceRange",
            Self::InvalidPort { .. } => "InvalidPort",
            Self::UnknownProtocol { .. } => "UnknownProtocol",
            Self::UnsupportedProtocol { .. } => "UnsupportedProtocol",
            Self::SourceRangesUnsupported { .. } => "SourceRangesUnsupported",
            Self::AffinityUnsupported => "AffinityUnsupported",
            Self::FrontendConflict { .. } => "FrontendConflict",
            Self::HostPortConflict { .. } => "HostPortConflict",
        }
    }

    /// Says which Service it concerns.
    pub(crate) fn of(self, service: &NamespacedName) -> Problem {
        Problem {
            service: service.clone(),
            kind: self,
        }
    }
}
