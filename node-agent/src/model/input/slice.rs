//! EndpointSlices.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1;

use super::{InputError, LABEL_SERVICE_NAME, WhyIgnored, address, name_of, opted_out};
use crate::model::{NamespacedName, Problem, ProblemKind, Protocol};

/// A watched EndpointSlice: one to use, or one to leave alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SliceInput {
    /// To be used.
    Used(EndpointSlice),
    /// Not for us; if it was used before, it is so no longer.
    Ignored {
        /// The slice.
        name: NamespacedName,
        /// Why it is not for us.
        why: WhyIgnored,
    },
}

/// What rules need of an EndpointSlice. All addresses are of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub name: NamespacedName,
    /// The Service it belongs to (label `kubernetes.io/service-name`).
    pub service: NamespacedName,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports that all of them have.
    pub ports: Vec<SlicePort>,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// One endpoint. Conditions that are not set have Kubernetes' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The first of `addresses`; the others are ignored, as the API says.
    pub addr: IpAddr,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// New connections may come (default true).
    pub ready: bool,
    /// It answers, even if it is terminating (default true).
    pub serving: bool,
    /// It is being deleted (default false).
    pub terminating: bool,
    /// `hints.forZones`.
    pub zone_hints: Vec<Arc<str>>,
    /// `hints.forNodes`.
    pub node_hints: Vec<Arc<str>>,
}

impl Endpoint {
    /// Whether new connections may come if nothing better is left (KEP-1669).
    pub const fn is_fallback(&self) -> bool {
        self.serving && self.terminating
    }

    /// Whether it can be a backend at all.
    pub const fn is_usable(&self) -> bool {
        self.ready || self.is_fallback()
    }

    /// On its way out. Ready and terminating (`publishNotReadyAddresses`) is plain ready.
    pub const fn is_draining(&self) -> bool {
        self.terminating && !self.ready
    }
}

/// One port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The Service port's name.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Target port.
    pub port: u16,
}

impl SliceInput {
    /// Parses an EndpointSlice.
    pub fn parse(slice: &v1::EndpointSlice) -> Result<Self, InputError> {
        let name = name_of(&slice.metadata)?;
        if let Some(why) = opted_out(&slice.metadata) {
            return Ok(Self::Ignored { name, why });
        }
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|l| l.get(LABEL_SERVICE_NAME)).filter(|s| !s.is_empty()) else {
            return Ok(Self::Ignored {
                name,
                why: WhyIgnored::NoService,
            });
        };
        let is_family: fn(&IpAddr) -> bool = match slice.address_type.as_str() {
            "IPv4" => IpAddr::is_ipv4,
            "IPv6" => IpAddr::is_ipv6,
            _ => {
                return Ok(Self::Ignored {
                    name,
                    why: WhyIgnored::NotAddresses,
                });
            }
        };
        let service = NamespacedName {
            namespace: Arc::clone(&name.namespace),
            name: service.as_str().into(),
        };
        let mut found = Vec::new();
        Ok(Self::Used(EndpointSlice {
            endpoints: endpoints(slice, is_family, &mut found),
            ports: ports(slice, &mut found),
            problems: found.into_iter().map(|kind| kind.of(&service)).collect(),
            service,
            name,
        }))
    }

    /// The slice's name.
    pub fn name(&self) -> &NamespacedName {
        match self {
            Self::Used(slice) => &slice.name,
            Self::Ignored { name, .. } => name,
        }
    }
}

fn endpoints(
    slice: &v1::EndpointSlice,
    is_family: fn(&IpAddr) -> bool,
    problems: &mut Vec<ProblemKind>,
) -> Vec<Endpoint> {
    let mut read = Vec::new();
    for endpoint in slice.endpoints.iter().flatten() {
        let Some(text) = endpoint.addresses.first() else {
            continue;
        };
        let Some(addr) = address::address(text).filter(is_family) else {
            problems.push(ProblemKind::InvalidAddress {
                field: "EndpointSlice endpoints[].addresses",
                value: text.as_str().into(),
            });
            continue;
        };
        let conditions = endpoint.conditions.as_ref();
        let hints = endpoint.hints.as_ref();
        let zones = hints.and_then(|h| h.for_zones.as_deref()).unwrap_or_default();
        let nodes = hints.and_then(|h| h.for_nodes.as_deref()).unwrap_or_default();
        read.push(Endpoint {
            addr,
            node: endpoint.node_name.as_deref().map(Into::into),
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
            zone_hints: zones.iter().map(|zone| zone.name.as_str().into()).collect(),
            node_hints: nodes.iter().map(|node| node.name.as_str().into()).collect(),
        });
    }
    read
}

/// A port without a name (`nil`, not `""`) or without a number is ignored, as kube-proxy does.
fn ports(slice: &v1::EndpointSlice, problems: &mut Vec<ProblemKind>) -> Vec<SlicePort> {
    let mut read = Vec::new();
    for port in slice.ports.iter().flatten() {
        let (Some(name), Some(number)) = (port.name.as_deref(), port.port.filter(|&number| number != 0)) else {
            continue;
        };
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else {
            problems.push(ProblemKind::UnknownProtocol {
                field: "EndpointSlice ports[].protocol",
                value: port.protocol.as_deref().unwrap_or_default().into(),
            });
            continue;
        };
        match address::port(number) {
            Some(port) => read.push(SlicePort {
                name: name.into(),
                protocol,
                port,
            }),
            None => problems.push(ProblemKind::InvalidPort {
                field: "EndpointSlice ports[].port",
                value: number,
            }),
        }
    }
    read
}
