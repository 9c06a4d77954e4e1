//! What the EndpointSlices of a Service should say. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Pod, Service, ServicePort},
        discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt as _;

use super::pods;

/// The most endpoints in one slice (the default of kube-controller-manager's `--max-endpoints-per-slice`).
const MAX_ENDPOINTS: usize = 100;

/// One slice's content.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SliceContent {
    /// `IPv4` or `IPv6`.
    pub(super) address_type: &'static str,
    /// The ports that all of its endpoints share.
    pub(super) ports: Vec<EndpointPort>,
    /// Its endpoints, by pod name.
    pub(super) endpoints: Vec<Endpoint>,
}

/// The zone of each node.
pub(super) type Zones = BTreeMap<String, String>;

/// The slices of `service` for the pods that its selector matches.
///
/// Pods for which a named target port means another number get slices of their own, and so do the two families. A family without
/// any endpoint has one slice that says so.
pub(super) fn contents(service: &Service, pods: &[Pod], zones: &Zones) -> Vec<SliceContent> {
    let mut groups: Vec<SliceContent> = Vec::new();
    let mut pods: Vec<&Pod> = pods.iter().collect();
    pods.sort_by_key(|pod| pod.name_any());
    for address_type in families(service) {
        for pod in &pods {
            let Some(endpoint) = endpoint(service, pod, address_type, zones) else {
                continue;
            };
            let ports = ports(service, pod);
            match groups
                .iter_mut()
                .find(|group| group.address_type == address_type && group.ports == ports)
            {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(SliceContent {
                    address_type,
                    ports,
                    endpoints: vec![endpoint],
                }),
            }
        }
        if !groups.iter().any(|group| group.address_type == address_type) {
            groups.push(SliceContent {
                address_type,
                ports: Vec::new(),
                endpoints: Vec::new(),
            });
        }
    }
    groups
        .into_iter()
        .flat_map(
            |SliceContent {
                 address_type,
                 ports,
                 endpoints,
             }| {
                let mut chunks: Vec<Vec<Endpoint>> =
                    endpoints.chunks(MAX_ENDPOINTS).map(<[Endpoint]>::to_vec).collect();
                if chunks.is_empty() {
                    chunks.push(Vec::new());
                }
                chunks.into_iter().map(move |endpoints| SliceContent {
                    address_type,
                    ports: ports.clone(),
                    endpoints,
                })
            },
        )
        .collect()
}

fn families(service: &Service) -> Vec<&'static str> {
    let families = service.spec.iter().flat_map(|spec| spec.ip_families.iter().flatten());
    let families: Vec<&str> = families
        .filter_map(|family| ["IPv4", "IPv6"].into_iter().find(|known| known == family))
        .collect();
    if families.is_empty() { vec!["IPv4"] } else { families }
}

fn endpoint(service: &Service, pod: &Pod, address_type: &str, zones: &Zones) -> Option<Endpoint> {
    if pods::is_finished(pod) {
        return None;
    }
    let address = address(pod, address_type)?;
    let publish_not_ready = service
        .spec
        .as_ref()
        .and_then(|spec| spec.publish_not_ready_addresses)
        .unwrap_or(false);
    let (serving, terminating) = (pods::is_ready(pod), pods::is_terminating(pod));
    let node = pods::node_name(pod);
    Some(Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(publish_not_ready || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: node.map(str::to_owned),
        zone: node.and_then(|node| zones.get(node).cloned()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        hints: node.and_then(|node| hints(service, node, zones)),
        ..Endpoint::default()
    })
}

/// Where `spec.trafficDistribution` wants an endpoint to be used: in its own zone, and also on its own node (KEP-3015).
fn hints(service: &Service, node: &str, zones: &Zones) -> Option<EndpointHints> {
    let distribution = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let name = zones.get(node)?.clone();
    let for_nodes = (distribution == "PreferSameNode").then(|| vec![ForNode { name: node.to_owned() }]);
    Some(EndpointHints {
        for_nodes,
        for_zones: Some(vec![ForZone { name }]),
    })
}

fn address(pod: &Pod, address_type: &str) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let all = status
        .pod_ips
        .iter()
        .flatten()
        .map(|ip| ip.ip.as_str())
        .chain(status.pod_ip.as_deref());
    all.filter_map(|ip| ip.parse::<IpAddr>().ok())
        .find(|ip| ip.is_ipv4() == (address_type == "IPv4"))
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target_port(port, pod)?),
                protocol: Some(protocol(port.protocol.as_ref()).to_owned()),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// The number that a service port leads to in this pod; none if the pod has no container port of that name.
fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let found = ports.find(|candidate| {
                candidate.name.as_ref() == Some(name)
                    && protocol(candidate.protocol.as_ref()) == protocol(port.protocol.as_ref())
            });
            found.map(|port| port.container_port)
        }
    }
}

fn protocol(protocol: Option<&String>) -> &str {
    protocol.map_or("TCP", String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: &Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).expect("a service")
    }

    fn web() -> Service {
        service(&json!({"ports": [{"port": 80, "targetPort": "http"}]}))
    }

    fn pod(name: &str, ip: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "node-a", "containers": [
                {"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn of(service: &Service, pods: &[Value]) -> Vec<SliceContent> {
        let pods: Vec<Pod> = pods
            .iter()
            .map(|pod| serde_json::from_value(pod.clone()).expect("a pod"))
            .collect();
        contents(service, &pods, &[("node-a".to_owned(), "zone-a".to_owned())].into())
    }

    fn conditions(slices: &[SliceContent]) -> (Option<bool>, Option<bool>, Option<bool>) {
        let conditions = slices[0].endpoints[0].conditions.clone().expect("conditions");
        (conditions.ready, conditions.serving, conditions.terminating)
    }

    #[test]
    fn a_ready_pod_is_an_endpoint_with_its_node_zone_and_resolved_port() {
        let slices = of(&web(), &[pod("a", "10.244.0.2", "True")]);
        let endpoint = &slices[0].endpoints[0];
        assert_eq!(endpoint.addresses, ["10.244.0.2"]);
        assert_eq!(
            (endpoint.node_name.as_deref(), endpoint.zone.as_deref()),
            (Some("node-a"), Some("zone-a"))
        );
        assert_eq!(
            (slices[0].ports[0].port, slices[0].ports[0].name.as_deref()),
            (Some(8080), Some(""))
        );
        assert_eq!(conditions(&slices), (Some(true), Some(true), Some(false)));
    }

    #[test]
    fn conditions_follow_readiness_and_termination() {
        let mut going = pod("a", "10.244.0.2", "True");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let publish = service(&json!({"publishNotReadyAddresses": true, "ports": [{"port": 80}]}));
        let unready = pod("a", "10.244.0.2", "False");
        for (service, pod, expected) in [
            (&web(), &unready, (false, false, false)),
            (&web(), &going, (false, true, true)),
            (&publish, &unready, (true, false, false)),
            (&publish, &going, (true, true, true)),
        ] {
            let (ready, serving, terminating) = expected;
            assert_eq!(
                conditions(&of(service, std::slice::from_ref(pod))),
                (Some(ready), Some(serving), Some(terminating))
            );
        }
    }

    #[test]
    fn pods_that_name_another_number_get_a_slice_of_their_own() {
        let mut other = pod("b", "10.244.0.3", "True");
        other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
        let slices = of(&web(), &[pod("a", "10.244.0.2", "True"), other]);
        let ports: Vec<Option<i32>> = slices.iter().map(|slice| slice.ports[0].port).collect();
        assert_eq!(ports, [Some(8080), Some(9090)]);
    }

    #[test]
    fn a_traffic_distribution_becomes_hints() {
        let hints = |distribution: Value| {
            let service = service(&json!({"trafficDistribution": distribution, "ports": [{"port": 80}]}));
            let slices = of(&service, &[pod("a", "10.244.0.2", "True")]);
            serde_json::to_value(&slices[0].endpoints[0].hints).expect("hints")
        };
        let zones = json!([{"name": "zone-a"}]);
        assert_eq!(hints(Value::Null), Value::Null);
        assert_eq!(hints(json!("PreferClose")), json!({"forZones": zones}));
        assert_eq!(hints(json!("PreferSameZone")), json!({"forZones": zones}));
        let node = json!({"forNodes": [{"name": "node-a"}], "forZones": zones});
        assert_eq!(hints(json!("PreferSameNode")), node);
    }

    #[test]
    fn finished_pods_and_pods_without_an_address_are_no_endpoints() {
        let mut finished = pod("a", "10.244.0.2", "False");
        finished["status"]["phase"] = json!("Succeeded");
        let mut starting = pod("b", "", "False");
        starting["status"].as_object_mut().expect("an object").remove("podIP");
        let slices = of(&web(), &[finished, starting]);
        assert_eq!((slices.len(), &slices[0].ports[..]), (1, &[][..]));
        assert_eq!(slices[0].endpoints, []);
    }

    #[test]
    fn a_slice_has_at_most_a_hundred_endpoints() {
        let pods: Vec<Value> = (0..101)
            .map(|n| pod(&format!("p{n:03}"), &format!("10.244.0.{n}"), "True"))
            .collect();
        let sizes: Vec<usize> = of(&web(), &pods).iter().map(|slice| slice.endpoints.len()).collect();
        assert_eq!(sizes, [100, 1]);
    }
}
