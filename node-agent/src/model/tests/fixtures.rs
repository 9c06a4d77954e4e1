//! Builders of Kubernetes objects with good defaults, and a node that shows what the model asks of it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{
            ClientIPConfig, LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus,
            SessionAffinityConfig,
        },
        discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kpr_abi::V4;

use crate::model::{
    Backend, Frontend, Index, IpFamily, NamespacedName, NodeFacts,
    input::{LABEL_SERVICE_NAME, ServiceInput, SliceInput},
};

pub(crate) const NAMESPACE: &str = "default";

/// Name of an object in the fixtures' namespace.
pub(crate) fn named(name: &str) -> NamespacedName {
    NamespacedName::new(NAMESPACE, name)
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(NAMESPACE.into()),
        name: Some(name.into()),
        ..ObjectMeta::default()
    }
}

/// A Service with cluster IP 10.96.0.10 and port `http` 80/TCP, created on the first of the month.
#[derive(Clone)]
pub(crate) struct Svc(Service);

pub(crate) fn svc(name: &str) -> Svc {
    let spec = ServiceSpec {
        type_: Some("ClusterIP".into()),
        ..ServiceSpec::default()
    };
    let service = Service {
        metadata: meta(name),
        spec: Some(spec),
        status: None,
    };
    Svc(service).created(1).cluster_ips(&["10.96.0.10"]).port("http", 80)
}

impl Svc {
    fn spec(mut self, change: impl FnOnce(&mut ServiceSpec)) -> Self {
        change(self.0.spec.get_or_insert_default());
        self
    }

    fn last_port(self, change: impl FnOnce(&mut ServicePort)) -> Self {
        self.spec(|s| change(s.ports.as_mut().and_then(|ports| ports.last_mut()).expect("a port")))
    }

    pub(crate) fn created(mut self, day: i8) -> Self {
        let date = jiff::civil::date(2026, 1, day).at(0, 0, 0, 0);
        let time = date.to_zoned(jiff::tz::TimeZone::UTC).expect("a date").timestamp();
        self.0.metadata.creation_timestamp = Some(Time(time));
        self
    }

    pub(crate) fn label(mut self, label: &str) -> Self {
        let labels = self.0.metadata.labels.get_or_insert_default();
        labels.insert(label.into(), "any".into());
        self
    }

    pub(crate) fn cluster_ips(self, ips: &[&str]) -> Self {
        self.spec(|s| {
            s.cluster_ip = ips.first().map(ToString::to_string);
            s.cluster_ips = Some(strings(ips));
        })
    }

    pub(crate) fn no_ports(self) -> Self {
        self.spec(|s| s.ports = None)
    }

    pub(crate) fn port(self, name: &str, port: i32) -> Self {
        let port = ServicePort {
            name: Some(name.into()),
            port,
            ..ServicePort::default()
        };
        self.spec(|s| s.ports.get_or_insert_default().push(port))
    }

    pub(crate) fn protocol(self, protocol: &str) -> Self {
        self.last_port(|p| p.protocol = Some(protocol.into()))
    }

    pub(crate) fn node_port(self, port: i32) -> Self {
        self.last_port(|p| p.node_port = Some(port))
    }

    pub(crate) fn kind(self, kind: &str) -> Self {
        self.spec(|s| s.type_ = Some(kind.into()))
    }

    pub(crate) fn external_ips(self, ips: &[&str]) -> Self {
        self.spec(|s| s.external_ips = Some(strings(ips)))
    }

    pub(crate) fn source_ranges(self, ranges: &[&str]) -> Self {
        self.spec(|s| s.load_balancer_source_ranges = Some(strings(ranges)))
    }

    pub(crate) fn internal_local(self) -> Self {
        self.spec(|s| s.internal_traffic_policy = Some("Local".into()))
    }

    pub(crate) fn external_local(self) -> Self {
        self.spec(|s| s.external_traffic_policy = Some("Local".into()))
    }

    pub(crate) fn health_check_node_port(self, port: i32) -> Self {
        self.spec(|s| s.health_check_node_port = Some(port))
    }

    pub(crate) fn client_ip_affinity(self, timeout_seconds: Option<i32>) -> Self {
        self.spec(|s| {
            s.session_affinity = Some("ClientIP".into());
            s.session_affinity_config = Some(SessionAffinityConfig {
                client_ip: Some(ClientIPConfig { timeout_seconds }),
            });
        })
    }

    pub(crate) fn load_balancer_ip(self, ip: &str) -> Self {
        self.ingress(Some(ip), None, None)
    }

    pub(crate) fn ingress(mut self, ip: Option<&str>, mode: Option<&str>, hostname: Option<&str>) -> Self {
        let ingress = LoadBalancerIngress {
            hostname: hostname.map(Into::into),
            ip: ip.map(Into::into),
            ip_mode: mode.map(Into::into),
            ports: None,
        };
        let status: &mut ServiceStatus = self.0.status.get_or_insert_default();
        let balancer: &mut LoadBalancerStatus = status.load_balancer.get_or_insert_default();
        balancer.ingress.get_or_insert_default().push(ingress);
        self
    }

    pub(crate) fn parse(&self) -> ServiceInput {
        ServiceInput::parse(&self.0).expect("namespace and name")
    }
}

/// An IPv4 EndpointSlice with port `http` 8080/TCP and no endpoints.
#[derive(Clone)]
pub(crate) struct Slice(EndpointSlice);

pub(crate) fn slice(name: &str, service: &str) -> Slice {
    let mut metadata = meta(name);
    metadata.labels = Some(BTreeMap::from([(LABEL_SERVICE_NAME.to_owned(), service.to_owned())]));
    let slice = EndpointSlice {
        address_type: "IPv4".into(),
        endpoints: None,
        metadata,
        ports: None,
    };
    Slice(slice).port("http", 8080)
}

impl Slice {
    pub(crate) fn address_type(mut self, kind: &str) -> Self {
        self.0.address_type = kind.into();
        self
    }

    pub(crate) fn unlabeled(mut self) -> Self {
        self.0.metadata.labels = None;
        self
    }

    pub(crate) fn label(mut self, label: &str) -> Self {
        let labels = self.0.metadata.labels.get_or_insert_default();
        labels.insert(label.into(), "any".into());
        self
    }

    pub(crate) fn no_ports(mut self) -> Self {
        self.0.ports = None;
        self
    }

    pub(crate) fn port(self, name: &str, port: i32) -> Self {
        self.raw_port(Some(name), Some(port), None)
    }

    pub(crate) fn raw_port(mut self, name: Option<&str>, port: Option<i32>, protocol: Option<&str>) -> Self {
        let ports = self.0.ports.get_or_insert_default();
        ports.push(EndpointPort {
            name: name.map(Into::into),
            port,
            protocol: protocol.map(Into::into),
            app_protocol: None,
        });
        self
    }

    pub(crate) fn with(mut self, endpoints: impl IntoIterator<Item = Ep>) -> Self {
        let mine = self.0.endpoints.get_or_insert_default();
        mine.extend(endpoints.into_iter().map(|endpoint| endpoint.0));
        self
    }

    pub(crate) fn parse(&self) -> SliceInput {
        SliceInput::parse(&self.0).expect("namespace and name")
    }
}

/// An endpoint on another node, without conditions or hints.
#[derive(Clone)]
pub(crate) struct Ep(Endpoint);

pub(crate) fn ep(addr: &str) -> Ep {
    Ep(Endpoint {
        addresses: vec![addr.into()],
        node_name: Some("node-b".into()),
        ..Endpoint::default()
    })
}

impl Ep {
    pub(crate) fn on(mut self, node: &str) -> Self {
        self.0.node_name = Some(node.into());
        self
    }

    pub(crate) fn addresses(mut self, addresses: &[&str]) -> Self {
        self.0.addresses = strings(addresses);
        self
    }

    pub(crate) fn conditions(mut self, ready: bool, serving: bool, terminating: bool) -> Self {
        self.0.conditions = Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        });
        self
    }

    pub(crate) fn unready(self) -> Self {
        self.conditions(false, false, false)
    }

    pub(crate) fn draining(self) -> Self {
        self.conditions(false, true, true)
    }

    pub(crate) fn gone(self) -> Self {
        self.conditions(false, false, true)
    }

    pub(crate) fn for_nodes(mut self, nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|&name| ForNode { name: name.into() });
        let hints: &mut EndpointHints = self.0.hints.get_or_insert_default();
        hints.for_nodes = Some(nodes.collect());
        self
    }

    pub(crate) fn for_zones(mut self, zones: &[&str]) -> Self {
        let zones = zones.iter().map(|&name| ForZone { name: name.into() });
        let hints: &mut EndpointHints = self.0.hints.get_or_insert_default();
        hints.for_zones = Some(zones.collect());
        self
    }
}

/// Node `node-a` in zone `zone-1`, and what it knows.
pub(crate) struct Node {
    pub(crate) index: Index,
    pub(crate) facts: NodeFacts,
}

pub(crate) fn node() -> Node {
    let mut facts = NodeFacts::new("node-a");
    facts.zone = Some("zone-1".into());
    Node {
        index: Index::new(),
        facts,
    }
}

impl Node {
    pub(crate) fn svc(mut self, service: Svc) -> Self {
        self.index.apply_service(service.parse());
        self
    }

    pub(crate) fn slice(mut self, slice: Slice) -> Self {
        self.index.apply_slice(slice.parse());
        self
    }

    pub(crate) fn facts(mut self, change: impl FnOnce(&mut NodeFacts)) -> Self {
        change(&mut self.facts);
        self
    }

    /// IPv4 frontends of a Service, as [`show`] writes them.
    pub(crate) fn shows(&self, service: &str) -> Vec<String> {
        self.shows_of::<V4>(service)
    }

    pub(crate) fn shows_of<F: IpFamily>(&self, service: &str) -> Vec<String> {
        let desired = self.index.service::<F>(&named(service), &self.facts);
        desired.frontends.iter().map(show).collect()
    }

    /// IPv4 problems of a Service: reason and message.
    pub(crate) fn problems(&self, service: &str) -> Vec<String> {
        let desired = self.index.service::<V4>(&named(service), &self.facts);
        let problems = desired.problems.iter();
        problems.map(|p| format!("{}: {p}", p.reason())).collect()
    }

    /// Backends of the Service's ClusterIP under policy `Cluster`.
    pub(crate) fn cluster(&self, service: &str) -> String {
        let desired = self.index.service::<V4>(&named(service), &self.facts);
        desired
            .frontends
            .first()
            .map(|f| show_backends(&f.cluster))
            .unwrap_or_default()
    }

    /// Backends of the Service's ClusterIP under policy `Local`.
    pub(crate) fn local(&self, service: &str) -> String {
        let desired = self.index.service::<V4>(&named(service), &self.facts);
        desired
            .frontends
            .first()
            .map(|f| show_backends(&f.local))
            .unwrap_or_default()
    }
}

/// `ClusterIP 10.96.0.10:80/TCP -> 10.244.0.5:8080* 10.244.1.5:8080~; local -> …; flags`: `*` is on this node, `~` is
/// terminating.
pub(crate) fn show<F: IpFamily>(frontend: &Frontend<F>) -> String {
    let addr: F::Ip = frontend.key.addr.into();
    let protocol = match frontend.key.proto {
        6 => "TCP",
        17 => "UDP",
        132 => "SCTP",
        _ => "?",
    };
    let port = frontend.key.port.host();
    let mut text = format!("{} {addr}:{port}/{protocol}", frontend.kind);
    if !frontend.cluster.is_empty() {
        text += &format!(" -> {}", show_backends(&frontend.cluster));
    }
    if !frontend.local.is_empty() {
        text += &format!("; local -> {}", show_backends(&frontend.local));
    }
    for (set, name) in [
        (frontend.internal_local, "internal-local"),
        (frontend.external_local, "external-local"),
        (!frontend.has_endpoints, "no-endpoints"),
    ] {
        if set {
            text += &format!("; {name}");
        }
    }
    if frontend.affinity_seconds > 0 {
        text += &format!("; affinity {} s", frontend.affinity_seconds);
    }
    for range in &frontend.source_ranges {
        text += &format!("; from {range}");
    }
    text
}

fn show_backends<F: IpFamily>(backends: &[Backend<F>]) -> String {
    let show = |b: &Backend<F>| {
        let local = if b.local { "*" } else { "" };
        let terminating = if b.terminating { "~" } else { "" };
        format!("{}:{}{local}{terminating}", b.addr, b.port)
    };
    backends.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
