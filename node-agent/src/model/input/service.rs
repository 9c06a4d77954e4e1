//! Services.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    InputError, address, named, opted_out,
    raw::{self, Text},
};
use crate::model::{NamespacedName, Problem, ProblemKind, Protocol};

/// A watched Service: one to serve, or one to leave alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceInput {
    /// To be served.
    Proxied(Service),
    /// Not for us; if it was served before, it is so no longer.
    Ignored {
        /// The Service.
        name: NamespacedName,
        /// Why it is not for us.
        why: WhyIgnored,
    },
}

/// Why an object is left alone (kube-proxy: `ShouldSkipService`, and its watches' label selector).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyIgnored {
    /// Label `service.kubernetes.io/service-proxy-name`.
    OtherProxy,
    /// Headless: `clusterIP: None`, no cluster IP (yet), or label `service.kubernetes.io/headless`.
    Headless,
    /// `type: ExternalName`, whether or not a cluster IP is (still) set.
    ExternalName,
    /// An EndpointSlice that names no Service.
    NoService,
    /// An EndpointSlice of host names.
    NotAddresses,
}

/// What rules need of a Service. Addresses of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `metadata.creationTimestamp`; decides who has a frontend that two Services name.
    pub created: Option<Timestamp>,
    /// `spec.clusterIPs`: one or, dual-stack, one per family.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// IPs in `status.loadBalancer.ingress` whose `ipMode` is `VIP` or not set.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`; empty: everyone.
    pub source_ranges: Vec<IpNet>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `spec.externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// `spec.sessionAffinity`.
    pub affinity: Affinity,
    /// `spec.healthCheckNodePort`, where Kubernetes uses it: `type: LoadBalancer` with external policy `Local`.
    pub health_check_node_port: Option<u16>,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Every connection is spread.
    None,
    /// Connections of a client address stick to an endpoint.
    ClientIp {
        /// `sessionAffinityConfig.clientIP.timeoutSeconds`, if set.
        timeout_seconds: Option<u32>,
    },
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty if it has none. With the protocol it is what EndpointSlices call the port by.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port on cluster IP, external IPs and LoadBalancer IPs.
    pub port: u16,
    /// NodePort, if allocated.
    pub node_port: Option<u16>,
}

impl ServiceInput {
    /// Parses a Service.
    pub fn parse(service: &raw::Service<'_>) -> Result<Self, InputError> {
        let metadata = &service.metadata;
        let name = named(metadata.namespace.as_deref(), metadata.name.as_deref())?;
        let default = raw::ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&default);
        let why = opted_out(metadata).or_else(|| {
            if spec.type_.as_deref() == Some("ExternalName") {
                Some(WhyIgnored::ExternalName)
            } else if matches!(spec.cluster_ip.as_deref(), None | Some("" | "None")) {
                Some(WhyIgnored::Headless)
            } else {
                None
            }
        });
        Ok(match why {
            Some(why) => Self::Ignored { name, why },
            None => Self::Proxied(proxied(name, service, spec)),
        })
    }

    /// The Service's name.
    pub fn name(&self) -> &NamespacedName {
        match self {
            Self::Proxied(service) => &service.name,
            Self::Ignored { name, .. } => name,
        }
    }
}

fn proxied(name: NamespacedName, service: &raw::Service<'_>, spec: &raw::ServiceSpec<'_>) -> Service {
    let mut found = Vec::new();
    let is_local = |policy: &Option<Text<'_>>| policy.as_deref() == Some("Local");
    let external_local = is_local(&spec.external_traffic_policy);

    // Before dual-stack there was only `clusterIP`; the API server fills in both today.
    let cluster_ips = match spec.cluster_ips.as_deref() {
        Some(ips) if !ips.is_empty() => addresses("spec.clusterIPs", ips, &mut found),
        _ => addresses("spec.clusterIP", spec.cluster_ip.as_slice(), &mut found),
    };
    let external_ips = addresses(
        "spec.externalIPs",
        spec.external_ips.as_deref().unwrap_or_default(),
        &mut found,
    );
    let ranges = source_ranges(spec, &mut found);
    let load_balancer_ips = if ranges.is_some() {
        load_balancer_ips(service, &mut found)
    } else {
        Vec::new()
    };

    Service {
        created: service.metadata.creation_timestamp.as_ref().map(|time| time.0),
        cluster_ips,
        external_ips,
        load_balancer_ips,
        source_ranges: ranges.unwrap_or_default(),
        ports: ports(spec, &mut found),
        internal_local: is_local(&spec.internal_traffic_policy),
        external_local,
        affinity: affinity(spec),
        health_check_node_port: spec
            .health_check_node_port
            .filter(|_| external_local && spec.type_.as_deref() == Some("LoadBalancer"))
            .and_then(address::port),
        problems: found.into_iter().map(|kind| kind.of(&name)).collect(),
        name,
    }
}

fn addresses(field: &'static str, texts: &[impl Deref<Target = str>], problems: &mut Vec<ProblemKind>) -> Vec<IpAddr> {
    let mut read = Vec::with_capacity(texts.len());
    for text in texts {
        match address::address(text) {
            Some(addr) => read.push(addr),
            None => problems.push(ProblemKind::InvalidAddress {
                field,
                value: (**text).into(),
            }),
        }
    }
    read
}

/// KEP-1860: an IP whose mode is not `VIP` is the load balancer's own business, and so is one that has only a host name.
fn load_balancer_ips(service: &raw::Service<'_>, problems: &mut Vec<ProblemKind>) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    let ips: Vec<&str> = ingress
        .iter()
        .filter(|ingress| matches!(ingress.ip_mode.as_deref(), None | Some("VIP")))
        .filter_map(|ingress| ingress.ip.as_deref().filter(|ip| !ip.is_empty()))
        .collect();
    addresses("status.loadBalancer.ingress", &ips, problems)
}

/// `None` if a range cannot be read: to leave it out of the list could let everyone in.
fn source_ranges(spec: &raw::ServiceSpec<'_>, problems: &mut Vec<ProblemKind>) -> Option<Vec<IpNet>> {
    let before = problems.len();
    let mut ranges = Vec::new();
    for text in spec.load_balancer_source_ranges.iter().flatten() {
        match address::cidr(text) {
            Some(range) => ranges.push(range),
            None => problems.push(ProblemKind::InvalidSourceRange { value: (**text).into() }),
        }
    }
    (problems.len() == before).then_some(ranges)
}

fn affinity(spec: &raw::ServiceSpec<'_>) -> Affinity {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return Affinity::None;
    }
    let config = spec.session_affinity_config.as_ref();
    let seconds = config
        .and_then(|c| c.client_ip.as_ref())
        .and_then(|c| c.timeout_seconds);
    Affinity::ClientIp {
        timeout_seconds: seconds.and_then(|s| u32::try_from(s).ok()).filter(|&s| s > 0),
    }
}

fn ports(spec: &raw::ServiceSpec<'_>, problems: &mut Vec<ProblemKind>) -> Vec<ServicePort> {
    let mut read = Vec::with_capacity(spec.ports.as_ref().map_or(0, Vec::len));
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else {
            problems.push(ProblemKind::UnknownProtocol {
                field: "spec.ports[].protocol",
                value: port.protocol.as_deref().unwrap_or_default().into(),
            });
            continue;
        };
        let mut number = |field, value| {
            let number = address::port(value);
            if number.is_none() {
                problems.push(ProblemKind::InvalidPort { field, value });
            }
            number
        };
        let Some(service_port) = number("spec.ports[].port", port.port) else {
            continue;
        };
        // 0: none allocated (`allocateLoadBalancerNodePorts: false`).
        let node_port = port.node_port.filter(|&value| value != 0);
        read.push(ServicePort {
            name: port.name.as_deref().unwrap_or_default().into(),
            protocol,
            port: service_port,
            node_port: node_port.and_then(|value| number("spec.ports[].nodePort", value)),
        });
    }
    read
}
