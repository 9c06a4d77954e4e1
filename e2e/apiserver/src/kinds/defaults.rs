//! The defaults of built-in kinds (`zz_generated.defaults.go` and the hand-written ones of each group).

use serde_json::{Map, Value, json};

use crate::object::{self, child_mut, map_mut, put_default, text};

/// Applies the defaults of `kind`.
pub(super) fn apply(kind: &str, object: &mut Value) {
    match kind {
        "Service" => service(object),
        "Pod" => pod_spec(child_mut(object, "spec")),
        "Deployment" => {
            let spec = child_mut(object, "spec");
            put_default(spec, "replicas", json!(1));
            put_default(spec, "revisionHistoryLimit", json!(10));
            put_default(spec, "progressDeadlineSeconds", json!(600));
            rolling(spec, "strategy", &json!({"maxUnavailable": "25%", "maxSurge": "25%"}));
            template(spec);
        }
        "ReplicaSet" => {
            let spec = child_mut(object, "spec");
            put_default(spec, "replicas", json!(1));
            template(spec);
        }
        "DaemonSet" => {
            let spec = child_mut(object, "spec");
            put_default(spec, "revisionHistoryLimit", json!(10));
            rolling(spec, "updateStrategy", &json!({"maxUnavailable": 1, "maxSurge": 0}));
            template(spec);
        }
        "EndpointSlice" => {
            for port in items(map_mut(object), "ports") {
                put_default(port, "name", json!(""));
                put_default(port, "protocol", json!("TCP"));
            }
        }
        "Endpoints" => {
            for subset in items(map_mut(object), "subsets") {
                for port in items(subset, "ports") {
                    put_default(port, "protocol", json!("TCP"));
                }
            }
        }
        "Secret" => secret(object),
        "CustomResourceDefinition" => super::crd::default(object),
        _ => {}
    }
}

fn items<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .map(map_mut)
}

fn service(object: &mut Value) {
    let spec = child_mut(object, "spec");
    put_default(spec, "type", json!("ClusterIP"));
    put_default(spec, "sessionAffinity", json!("None"));
    if spec["sessionAffinity"] == "ClientIP" {
        put_default(
            spec,
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": 10800}}),
        );
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        put_default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    let has_external_ips = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|ips| !ips.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || has_external_ips {
        put_default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        put_default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in items(spec, "ports") {
        put_default(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        if port
            .get("targetPort")
            .is_none_or(|target| *target == json!(0) || *target == json!(""))
        {
            port.insert("targetPort".into(), number);
        }
    }
    map_mut(object)
        .entry("status")
        .or_insert_with(|| json!({"loadBalancer": {}}));
}

fn rolling(spec: &mut Map<String, Value>, field: &str, limits: &Value) {
    let strategy = map_mut(spec.entry(field).or_insert_with(|| json!({})));
    put_default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = map_mut(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
        for (key, value) in limits.as_object().into_iter().flatten() {
            put_default(rolling, key, value.clone());
        }
    }
}

fn template(spec: &mut Map<String, Value>) {
    let template = spec.entry("template").or_insert_with(|| json!({}));
    pod_spec(child_mut(template, "spec"));
}

fn pod_spec(spec: &mut Map<String, Value>) {
    put_default(spec, "restartPolicy", json!("Always"));
    put_default(spec, "dnsPolicy", json!("ClusterFirst"));
    put_default(spec, "schedulerName", json!("default-scheduler"));
    put_default(spec, "terminationGracePeriodSeconds", json!(30));
    put_default(spec, "securityContext", json!({}));
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for kind in ["containers", "initContainers"] {
        for container in items(spec, kind) {
            let latest = is_latest(container.get("image").and_then(Value::as_str).unwrap_or_default());
            put_default(
                container,
                "imagePullPolicy",
                json!(if latest { "Always" } else { "IfNotPresent" }),
            );
            put_default(container, "terminationMessagePath", json!("/dev/termination-log"));
            put_default(container, "terminationMessagePolicy", json!("File"));
            put_default(container, "resources", json!({}));
            for port in items(container, "ports") {
                put_default(port, "protocol", json!("TCP"));
                if host_network {
                    let number = port.get("containerPort").cloned().unwrap_or(Value::Null);
                    put_default(port, "hostPort", number);
                }
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) {
                    self::probe(map_mut(probe));
                }
            }
        }
    }
}

fn probe(probe: &mut Map<String, Value>) {
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        put_default(probe, field, json!(value));
    }
    if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
        put_default(get, "path", json!("/"));
        put_default(get, "scheme", json!("HTTP"));
    }
}

fn is_latest(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// `stringData` is write-only: it lands in `data`, encoded.
fn secret(object: &mut Value) {
    if text(object, &["type"]).is_empty() {
        map_mut(object).insert("type".into(), json!("Opaque"));
    }
    if let Some(Value::Object(plain)) = map_mut(object).remove("stringData") {
        let data = object::child_mut(object, "data");
        for (key, value) in plain {
            data.insert(
                key,
                crate::base64::encode(value.as_str().unwrap_or_default().as_bytes()).into(),
            );
        }
    }
}
