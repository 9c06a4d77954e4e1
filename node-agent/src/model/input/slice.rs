//! EndpointSlices.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use kpr_abi::{Family as _, V4, V6};

use super::{InputError, WhyIgnored, address, named, opted_out, raw};
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
    /// `addressType`: its addresses are IPv6, not IPv4.
    pub ipv6: bool,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports that all of them have.
    pub ports: Vec<SlicePort>,
    /// What was left out.
    pub problems: Vec<Problem>,
    /// When the change happened that it was last changed for (annotation `endpoints.kubernetes.io/last-change-trigger-time`).
    pub triggered: Option<Timestamp>,
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
    /// `hints`, if there are any.
    pub hints: Option<Box<Hints>>,
}

/// Whom an endpoint is for, as the EndpointSlice controller has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones`.
    pub zones: Vec<Arc<str>>,
    /// `forNodes`.
    pub nodes: Vec<Arc<str>>,
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

    /// `hints.forZones`.
    pub fn zone_hints(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.zones)
    }

    /// `hints.forNodes`.
    pub fn node_hints(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.nodes)
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
    pub fn parse(slice: &raw::EndpointSlice<'_>) -> Result<Self, InputError> {
        let metadata = &slice.metadata;
        let name = named(metadata.namespace.as_deref(), metadata.name.as_deref())?;
        if let Some(why) = opted_out(metadata) {
            return Ok(Self::Ignored { name, why });
        }
        let labels = metadata.labels.as_ref();
        let Some(service) = labels.and_then(|l| l.service.as_deref()).filter(|s| !s.is_empty()) else {
            return Ok(Self::Ignored {
                name,
                why: WhyIgnored::NoService,
            });
        };
        let ipv6 = match slice.address_type.as_deref() {
            Some("IPv4") => false,
            Some("IPv6") => true,
            _ => {
                return Ok(Self::Ignored {
                    name,
                    why: WhyIgnored::NotAddresses,
                });
            }
        };
        let service = NamespacedName {
            namespace: Arc::clone(&name.namespace),
            name: service.into(),
        };
        let mut found = Vec::new();
        Ok(Self::Used(EndpointSlice {
            ipv6,
            endpoints: endpoints(slice, |address| address.is_ipv6() == ipv6, &mut found),
            ports: ports(slice, &mut found),
            problems: found.into_iter().map(|kind| kind.of(&service)).collect(),
            triggered: metadata
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.triggered),
            service,
            name,
        }))
    }

    /// The family of its addresses, as Kubernetes writes it, if it is used.
    pub fn family(&self) -> Option<&'static str> {
        match self {
            Self::Used(slice) if slice.ipv6 => Some(V6::NAME),
            Self::Used(_) => Some(V4::NAME),
            Self::Ignored { .. } => None,
        }
    }

    /// When the change happened that it was last changed for, if it is used and says so.
    pub fn triggered(&self) -> Option<Timestamp> {
        match self {
            Self::Used(slice) => slice.triggered,
            Self::Ignored { .. } => None,
        }
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
    slice: &raw::EndpointSlice<'_>,
    is_family: impl Fn(&IpAddr) -> bool,
    problems: &mut Vec<ProblemKind>,
) -> Vec<Endpoint> {
    let mut read: Vec<Endpoint> = Vec::with_capacity(slice.endpoints.as_ref().map_or(0, Vec::len));
    for endpoint in slice.endpoints.iter().flatten() {
        let Some(text) = endpoint.addresses.as_ref().and_then(|addresses| addresses.0.as_deref()) else {
            continue;
        };
        let Some(addr) = address::address(text).filter(&is_family) else {
            problems.push(ProblemKind::InvalidAddress {
                field: "EndpointSlice endpoints[].addresses",
                value: text.into(),
            });
            continue;
        };
        let conditions = endpoint.conditions.as_ref();
        read.push(Endpoint {
            addr,
            node: endpoint.node_name.as_deref().map(Into::into),
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
            hints: endpoint.hints.as_ref().and_then(hints),
        });
    }
    read
}

fn hints(hints: &raw::Hints<'_>) -> Option<Box<Hints>> {
    let names = |named: &Option<Vec<raw::Named<'_>>>| {
        let names = named.iter().flatten().map(|named| Arc::from(&*named.name));
        names.collect::<Vec<_>>()
    };
    let (zones, nodes) = (names(&hints.for_zones), names(&hints.for_nodes));
    (!zones.is_empty() || !nodes.is_empty()).then(|| Box::new(Hints { zones, nodes }))
}

/// A port without a name (`nil`, not `""`) or without a number is ignored, as kube-proxy does.
fn ports(slice: &raw::EndpointSlice<'_>, problems: &mut Vec<ProblemKind>) -> Vec<SlicePort> {
    let mut read = Vec::with_capacity(slice.ports.as_ref().map_or(0, Vec::len));
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
