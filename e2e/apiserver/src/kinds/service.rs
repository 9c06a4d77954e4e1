//! Services: cluster IPs and node ports are given at once, as the real server does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::cluster_ip;
use crate::alloc::port;
use crate::error::{ApiError, Result};
use crate::field::FieldError;
use crate::object::{self, at, child_mut, list, map_mut, put_default, text};
use crate::resource::Resource;
use crate::state::State;

/// Gives the Service what its type needs and takes what it no longer needs.
pub(super) fn allocate(state: &mut State, resource: &Resource, new: &mut Value, old: Option<&Value>) -> Result<()> {
    let refuse = |error: FieldError, name: &str| Err(ApiError::invalid("", "Service", name, &[error]));
    let name = object::name(new).to_owned();
    let used = Used::collect(state, resource, new);
    carry_over(new, old);
    if has_cluster_ip(new)
        && let Err(error) = cluster_ip::assign(state, new, old, &used.ips)
    {
        return refuse(error, &name);
    }
    match node_ports(state, new, old, used.ports) {
        Ok(()) => Ok(()),
        Err(error) => refuse(error, &name),
    }
}

/// What the other Services have.
struct Used {
    ips: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
}

impl Used {
    fn collect(state: &State, resource: &Resource, own: &Value) -> Self {
        let mut used = Self {
            ips: BTreeSet::new(),
            ports: BTreeSet::new(),
        };
        let own = (object::namespace(own), object::name(own));
        let others = state
            .store
            .objects(&resource.storage)
            .filter(|s| (object::namespace(s), object::name(s)) != own);
        for service in others {
            let ips = list(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
            used.ips.extend(ips.filter_map(cluster_ip::sloppy));
            used.ports.extend(
                list(service, &["spec", "ports"])
                    .iter()
                    .filter_map(|port| number(port, "nodePort")),
            );
            used.ports.extend(number(&service["spec"], "healthCheckNodePort"));
        }
        used
    }
}

fn number(value: &Value, field: &str) -> Option<u16> {
    value
        .get(field)?
        .as_u64()
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n != 0)
}

fn kind(service: &Value) -> &str {
    text(service, &["spec", "type"])
}

fn has_cluster_ip(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => at(service, &["spec", "allocateLoadBalancerNodePorts"]) != Some(&json!(false)),
        _ => false,
    }
}

/// An update that leaves out what was allocated keeps it; a change of type drops it.
fn carry_over(new: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    let keeps_ip = has_cluster_ip(old) && has_cluster_ip(new);
    let (was, is) = (has_node_ports(old), has_node_ports(new));
    if was && is {
        keep_node_ports(new, old);
    }
    let spec = child_mut(new, "spec");
    if keeps_ip {
        for field in cluster_ip::FIELDS {
            if let Some(value) = at(old, &["spec", field]) {
                put_default(spec, field, value.clone());
            }
        }
    } else if !old["spec"]["clusterIP"].is_null() {
        for field in cluster_ip::FIELDS {
            spec.remove(field);
        }
    }
    if was && !is {
        let before: Vec<Option<u16>> = list(old, &["spec", "ports"])
            .iter()
            .map(|p| number(p, "nodePort"))
            .collect();
        for port in ports(spec) {
            let current = port
                .get("nodePort")
                .and_then(Value::as_u64)
                .and_then(|n| u16::try_from(n).ok());
            if before.contains(&current) {
                port.remove("nodePort");
            }
        }
    }
    drop_what_the_type_had(new, old);
}

/// Fields that the type before had, and that the new one has no use for, go unless they are changed at the same time.
fn drop_what_the_type_had(new: &mut Value, old: &Value) {
    let is_balanced = |service: &Value| kind(service) == "LoadBalancer";
    let mut gone = Vec::new();
    if is_external(old) && !is_external(new) {
        gone.push("externalTrafficPolicy");
    }
    if is_balanced(old) && !is_balanced(new) {
        gone.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    gone.retain(|field| at(old, &["spec", field]) == at(new, &["spec", field]));
    let spec = child_mut(new, "spec");
    for field in gone {
        spec.remove(field);
    }
}

/// Clients outside the cluster may reach it: then it has an external traffic policy.
fn is_external(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer") || !list(service, &["spec", "externalIPs"]).is_empty()
}

fn keep_node_ports(new: &mut Value, old: &Value) {
    let taken: BTreeSet<u16> = list(new, &["spec", "ports"])
        .iter()
        .filter_map(|port| number(port, "nodePort"))
        .collect();
    let mut taken = taken;
    for port in ports(child_mut(new, "spec")) {
        if port.get("nodePort").and_then(Value::as_u64).unwrap_or_default() != 0 {
            continue;
        }
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        let before = list(old, &["spec", "ports"])
            .iter()
            .find(|old| text(old, &["name"]) == name);
        if let Some(kept) = before
            .and_then(|before| number(before, "nodePort"))
            .filter(|kept| taken.insert(*kept))
        {
            port.insert("nodePort".into(), json!(kept));
        }
    }
}

fn ports(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    spec.get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .map(map_mut)
}

fn service_port(port: &Map<String, Value>) -> i64 {
    port.get("port").and_then(Value::as_i64).unwrap_or_default()
}

fn asked_node_port(port: &Map<String, Value>) -> Option<u16> {
    let asked = port.get("nodePort")?.as_u64()?;
    u16::try_from(asked).ok().filter(|number| *number != 0)
}

fn node_ports(
    state: &mut State,
    new: &mut Value,
    old: Option<&Value>,
    mut used: BTreeSet<u16>,
) -> Result<(), FieldError> {
    let range = state.options.node_ports.clone();
    let needs_health = kind(new) == "LoadBalancer" && text(new, &["spec", "externalTrafficPolicy"]) == "Local";
    let wants = has_node_ports(new);
    let own: BTreeSet<u16> = old
        .map(|old| {
            list(old, &["spec", "ports"])
                .iter()
                .filter_map(|p| number(p, "nodePort"))
                .collect()
        })
        .unwrap_or_default();
    let spec = child_mut(new, "spec");
    if wants {
        // Ports that were asked for come first, so that none of them is given away to another port of this Service.
        let mut given: Vec<(String, u16)> = Vec::new();
        for (index, port) in ports(spec).enumerate() {
            let asked = port.get("nodePort").and_then(Value::as_i64).unwrap_or_default();
            if asked == 0 {
                continue;
            }
            let protocol = port
                .get("protocol")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let invalid = |error: port::PortError| {
                FieldError::invalid(format!("spec.ports[{index}].nodePort"), asked, error.to_string())
            };
            let number = u16::try_from(asked).unwrap_or_default();
            // One port number may serve TCP and UDP of the same Service.
            let shared = given.iter().any(|(other, one)| *one == number && *other != protocol);
            if !shared && !own.contains(&number) {
                port::claim(&range, number, &used).map_err(invalid)?;
            }
            used.insert(number);
            given.push((protocol, number));
        }
        // A new Service has one number for a port of several protocols; one that changes gets a number for each.
        let mut by_port: BTreeMap<i64, u16> = BTreeMap::new();
        if old.is_none() {
            by_port.extend(ports(spec).filter_map(|port| Some((service_port(port), asked_node_port(port)?))));
        }
        for (index, port) in ports(spec).enumerate() {
            if port.get("nodePort").and_then(Value::as_i64).unwrap_or_default() != 0 {
                continue;
            }
            let number = match by_port.get(&service_port(port)) {
                Some(number) => *number,
                None => port::next(&range, &used, &mut state.cursors.port).map_err(|error| {
                    FieldError::invalid(format!("spec.ports[{index}].nodePort"), 0, error.to_string())
                })?,
            };
            if old.is_none() {
                by_port.insert(service_port(port), number);
            }
            used.insert(number);
            port.insert("nodePort".into(), json!(number));
        }
    }
    if !needs_health {
        spec.remove("healthCheckNodePort");
        return Ok(());
    }
    let before = old.and_then(|old| number(&old["spec"], "healthCheckNodePort"));
    let asked = spec
        .get("healthCheckNodePort")
        .and_then(Value::as_u64)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n != 0);
    let health = match asked.or(before) {
        Some(port) if Some(port) == before => port,
        Some(_) if before.is_some() => {
            return Err(FieldError::forbidden("spec.healthCheckNodePort", "field is immutable"));
        }
        Some(port) => port::claim(&range, port, &used)
            .map(|()| port)
            .map_err(|error| FieldError::invalid("spec.healthCheckNodePort", port, error.to_string()))?,
        None => port::next(&range, &used, &mut state.cursors.port)
            .map_err(|error| FieldError::invalid("spec.healthCheckNodePort", 0, error.to_string()))?,
    };
    spec.insert("healthCheckNodePort".into(), json!(health));
    Ok(())
}

/// The rules of `ValidateService` that concern what kpr reads.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kind = kind(service);
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        errors.push(FieldError::not_supported(
            "spec.type",
            kind,
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        ));
    }
    let headless = text(service, &["spec", "clusterIP"]) == "None";
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            "None",
            format!("may not be set to 'None' for {kind} services"),
        ));
    }
    let ports = list(service, &["spec", "ports"]);
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        port_rules(port, ports, index, &mut errors);
    }
    for (field, allowed) in [
        ("sessionAffinity", &["ClientIP", "None"][..]),
        ("externalTrafficPolicy", &["Cluster", "Local"]),
        ("internalTrafficPolicy", &["Cluster", "Local"]),
    ] {
        let value = text(service, &["spec", field]);
        if !value.is_empty() && !allowed.contains(&value) {
            errors.push(FieldError::not_supported(format!("spec.{field}"), value, allowed));
        }
    }
    let external = text(service, &["spec", "externalTrafficPolicy"]);
    if !external.is_empty() && !is_external(service) {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid("spec.externalTrafficPolicy", external, why));
    }
    if let Some(old) = old.filter(|old| has_cluster_ip(old) && has_cluster_ip(service)) {
        let ips = |service| list(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
        for (index, (was, is)) in ips(old).zip(ips(service)).enumerate() {
            if was != is {
                let path = format!("spec.clusterIPs[{index}]");
                errors.push(FieldError::invalid(path, json!([is]), "may not change once set"));
            }
        }
    }
    errors
}

fn port_rules(port: &Value, ports: &[Value], index: usize, errors: &mut Vec<FieldError>) {
    let path = format!("spec.ports[{index}]");
    let between = "must be between 1 and 65535, inclusive";
    let number = port["port"].as_i64().unwrap_or_default();
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(format!("{path}.port"), number, between));
    }
    if let Some(target) = port["targetPort"]
        .as_i64()
        .filter(|target| !(1..=65535).contains(target))
    {
        errors.push(FieldError::invalid(format!("{path}.targetPort"), target, between));
    }
    let protocol = text(port, &["protocol"]);
    if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        errors.push(FieldError::not_supported(
            format!("{path}.protocol"),
            protocol,
            &["SCTP", "TCP", "UDP"],
        ));
    }
    if ports.len() > 1 && text(port, &["name"]).is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let before = &ports[..index];
    let name = text(port, &["name"]);
    if !name.is_empty() && before.iter().any(|other| text(other, &["name"]) == name) {
        errors.push(FieldError::duplicate(format!("{path}.name"), name));
    }
    if before
        .iter()
        .any(|other| other["port"] == port["port"] && other["protocol"] == port["protocol"])
    {
        errors.push(FieldError::duplicate(
            path,
            json!({"port": port["port"], "protocol": port["protocol"]}),
        ));
    }
}
/// An address of a load balancer is one that the nodes answer for, unless it says otherwise.
pub(super) fn default_ip_modes(service: &mut Value) {
    let ingress = service.pointer_mut("/status/loadBalancer/ingress");
    for address in ingress.and_then(Value::as_array_mut).into_iter().flatten() {
        if !crate::object::text(address, &["ip"]).is_empty() {
            crate::object::put_default(crate::object::map_mut(address), "ipMode", "VIP".into());
        }
    }
}
