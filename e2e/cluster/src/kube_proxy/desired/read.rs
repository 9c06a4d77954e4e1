//! From Services and EndpointSlices to what one node serves.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{Service, ServicePort as Port},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt as _;

use super::{Endpoints, Family, Protocol, ServicePort};

/// What the node called `node` serves in this family, in the order of names.
pub fn read<'o>(
    services: impl IntoIterator<Item = &'o Service>,
    slices: &[&EndpointSlice],
    family: Family,
    node: &str,
) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = services
        .into_iter()
        .flat_map(|service| ports_of(service, slices, family, node))
        .collect();
    ports.sort_by_cached_key(|port| (port.id(), port.protocol));
    ports
}

fn ports_of(service: &Service, slices: &[&EndpointSlice], family: Family, node: &str) -> Vec<ServicePort> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let cluster_ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let mut cluster_ips = cluster_ips.filter_map(|address| address.parse::<IpAddr>().ok());
    let Some(cluster_ip) = cluster_ips.find(|address| family.has(*address)) else {
        return Vec::new();
    };
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let own: Vec<&EndpointSlice> = slices
        .iter()
        .copied()
        .filter(|slice| slice.namespace().as_ref() == Some(&namespace))
        .filter(|slice| slice.labels().get("kubernetes.io/service-name") == Some(&name))
        .collect();
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.iter().flat_map(|status| status.ingress.iter().flatten());
    let vips: Vec<String> = ingress
        .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.clone())
        .collect();
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let ranges = ranges.filter_map(|range| range.trim().parse::<IpNet>().ok());
    let template = ServicePort {
        cluster_ip,
        external_ips: addresses(spec.external_ips.iter().flatten(), family),
        load_balancer_ips: addresses(&vips, family),
        source_ranges: ranges.filter(|range| family.has(range.addr())).collect(),
        affinity_seconds: (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
            let config = spec.session_affinity_config.as_ref();
            let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
            seconds
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(10_800)
        }),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        health_check_node_port: number(spec.health_check_node_port),
        ..ServicePort::named(&namespace, &name, "")
    };
    let ports = spec.ports.iter().flatten();
    ports
        .filter_map(|port| {
            let protocol = protocol(port.protocol.as_deref())?;
            Some(ServicePort {
                port_name: port.name.clone().unwrap_or_default(),
                protocol,
                port: number(Some(port.port))?,
                node_port: number(port.node_port),
                endpoints: endpoints(&own, port, protocol, family, node),
                ..template.clone()
            })
        })
        .collect()
}

/// What is known of an endpoint; of two slices that have it, the one where it is not going.
#[derive(Clone, Copy)]
struct Facts {
    local: bool,
    ready: bool,
    serving: bool,
}

fn endpoints(slices: &[&EndpointSlice], port: &Port, protocol: Protocol, family: Family, node: &str) -> Endpoints {
    let mut all: BTreeMap<SocketAddr, Facts> = BTreeMap::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let same = |candidate: &&k8s_openapi::api::discovery::v1::EndpointPort| {
            candidate.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
                && self::protocol(candidate.protocol.as_deref()) == Some(protocol)
        };
        let Some(number) = ports.into_iter().find(same).and_then(|port| number(port.port)) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
            let Some(address) = address.filter(|address| family.has(*address)) else {
                continue;
            };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let terminating = conditions.terminating.unwrap_or(false);
            let facts = Facts {
                local: endpoint.node_name.as_deref() == Some(node),
                ready: conditions.ready.unwrap_or(true),
                serving: conditions.serving.unwrap_or(true) && terminating,
            };
            let known = all.entry(SocketAddr::new(address, number)).or_insert(facts);
            if !terminating {
                *known = facts;
            }
        }
    }
    Endpoints {
        cluster: usable(&all, |_| true),
        local: usable(&all, |facts| facts.local),
    }
}

/// The ready ones, or else those that are going and serve on (KEP-1669).
fn usable(all: &BTreeMap<SocketAddr, Facts>, among: impl Fn(&Facts) -> bool) -> Vec<SocketAddr> {
    let those = |usable: fn(&Facts) -> bool| -> Vec<SocketAddr> {
        let chosen = all.iter().filter(|(_, facts)| among(facts) && usable(facts));
        chosen.map(|(address, _)| *address).collect()
    };
    let ready = those(|facts| facts.ready);
    if ready.is_empty() {
        those(|facts| facts.serving)
    } else {
        ready
    }
}

fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn addresses<'s>(texts: impl IntoIterator<Item = &'s String>, family: Family) -> Vec<IpAddr> {
    let parsed = texts.into_iter().filter_map(|text| text.parse().ok());
    parsed.filter(|address| family.has(*address)).collect()
}

fn number(port: Option<i32>) -> Option<u16> {
    u16::try_from(port?).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {
                "type": "NodePort", "clusterIP": "10.96.0.20", "externalTrafficPolicy": "Local",
                "externalIPs": ["203.0.113.250", "2001:db8::1"],
                "ports": [
                    {"name": "http", "port": 80, "nodePort": 30080},
                    {"name": "echo", "port": 53, "protocol": "UDP", "nodePort": 30053},
                ],
            },
        }))
        .unwrap()
    }

    fn slice(endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    #[test]
    fn each_port_has_its_own_endpoints_and_those_of_the_node_apart() {
        let slice = slice(&json!([
            {"addresses": ["10.244.0.2"], "nodeName": "node-a"},
            {"addresses": ["10.244.1.2"], "nodeName": "node-b"},
            {"addresses": ["10.244.1.3"], "nodeName": "node-b", "conditions": {"ready": false}},
        ]));
        let ports = read([&service()], &[&slice], Family::V4, "node-b");
        let [echo, http] = &ports[..] else { panic!("{ports:?}") };
        assert_eq!(
            (echo.id().as_str(), http.id().as_str()),
            ("default/web:echo", "default/web:http")
        );
        assert!(!echo.endpoints.any(), "no slice has this port");
        assert_eq!(
            http.endpoints.cluster,
            ["10.244.0.2:8080".parse().unwrap(), "10.244.1.2:8080".parse().unwrap()]
        );
        assert_eq!(http.endpoints.local, ["10.244.1.2:8080".parse().unwrap()]);
        assert_eq!(http.external_ips.len(), 1, "only those of the family");
        assert!(read([&service()], &[&slice], Family::V6, "node-b").is_empty());
    }

    #[test]
    fn endpoints_that_go_and_serve_are_used_when_none_is_ready() {
        let going = json!({"ready": false, "serving": true, "terminating": true});
        let slice = slice(&json!([
            {"addresses": ["10.244.0.2"], "nodeName": "node-a", "conditions": going},
            {"addresses": ["10.244.1.2"], "nodeName": "node-b", "conditions": {"ready": true}},
        ]));
        let ports = read([&service()], &[&slice], Family::V4, "node-a");
        assert_eq!(ports[1].endpoints.cluster, ["10.244.1.2:8080".parse().unwrap()]);
        assert_eq!(ports[1].endpoints.local, ["10.244.0.2:8080".parse().unwrap()]);
    }
}
