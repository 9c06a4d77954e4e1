//! The cells of built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use crate::object::{at, list, text};

/// The age of an object.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    ago(text(object, &["metadata", "creationTimestamp"]), now)
}

fn ago(time: &str, now: Timestamp) -> Value {
    json!(if time.is_empty() {
        "<unknown>".to_owned()
    } else {
        since(time, now)
    })
}

fn or_none(text: String) -> Value {
    json!(if text.is_empty() { "<none>".to_owned() } else { text })
}

fn count(object: &Value, path: &[&str]) -> i64 {
    at(object, path).and_then(Value::as_i64).unwrap_or_default()
}

fn labels(map: Option<&Value>) -> Value {
    let mut pairs: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    or_none(pairs.join(","))
}

/// At most `max` entries, then how many more there are.
fn few(all: &[String], max: usize) -> Value {
    let more = all.len().saturating_sub(max);
    let shown = all.iter().take(max).cloned().collect::<Vec<_>>().join(",");
    if more > 0 {
        return json!(format!("{shown} + {more} more..."));
    }
    or_none(shown)
}

fn template(object: &Value) -> [Value; 3] {
    let containers = list(object, &["spec", "template", "spec", "containers"]);
    let of = |field: &str| {
        containers
            .iter()
            .map(|c| text(c, &[field]).to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    [
        json!(of("name")),
        json!(of("image")),
        labels(at(object, &["spec", "selector", "matchLabels"])),
    ]
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(text(object, &["status", "phase"])), age(object, now)]
}

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(object, &["status", "conditions"])
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|condition| text(condition, &["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        status += ",SchedulingDisabled";
    }
    let mut roles: Vec<&str> = at(object, &["metadata", "labels"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    let address = |kind: &str| {
        let found = list(object, &["status", "addresses"])
            .iter()
            .find(|a| a["type"] == kind);
        or_none(found.map(|a| text(a, &["address"]).to_owned()).unwrap_or_default())
    };
    let info = |field: &str| {
        let value = text(object, &["status", "nodeInfo", field]);
        json!(if value.is_empty() { "<unknown>" } else { value })
    };
    vec![
        json!(status),
        or_none(roles.join(",")),
        age(object, now),
        json!(text(object, &["status", "nodeInfo", "kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

pub(super) fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let containers = list(object, &["spec", "containers"]).len();
    let statuses = list(object, &["status", "containerStatuses"]);
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let restarts: i64 = statuses.iter().map(|status| count(status, &["restartCount"])).sum();
    let field = |path: &[&str]| or_none(text(object, path).to_owned());
    vec![
        json!(format!("{ready}/{containers}")),
        json!(pod_status(object, statuses)),
        json!(restarts.to_string()),
        age(object, now),
        field(&["status", "podIP"]),
        field(&["spec", "nodeName"]),
        field(&["status", "nominatedNodeName"]),
        or_none(String::new()),
    ]
}

fn pod_status(object: &Value, statuses: &[Value]) -> String {
    if crate::object::is_terminating(object) {
        let lost = text(object, &["status", "reason"]) == "NodeLost";
        return if lost { "Unknown" } else { "Terminating" }.to_owned();
    }
    let reason = |state: &str| {
        statuses
            .iter()
            .rev()
            .map(|status| text(status, &["state", state, "reason"]))
            .find(|reason| !reason.is_empty())
    };
    let own = text(object, &["status", "reason"]);
    let phase = text(object, &["status", "phase"]);
    reason("waiting")
        .or_else(|| reason("terminated"))
        .or(Some(own).filter(|reason| !reason.is_empty()))
        .unwrap_or(phase)
        .to_owned()
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let kind = text(object, &["spec", "type"]);
    let ports: Vec<String> = list(object, &["spec", "ports"])
        .iter()
        .map(|port| {
            let (number, protocol) = (count(port, &["port"]), text(port, &["protocol"]));
            match count(port, &["nodePort"]) {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    vec![
        json!(kind),
        or_none(text(object, &["spec", "clusterIP"]).to_owned()),
        external_ip(object, kind),
        or_none(ports.join(",")),
        age(object, now),
        labels(at(object, &["spec", "selector"])),
    ]
}

fn external_ip(object: &Value, kind: &str) -> Value {
    let strings = |values: &[Value]| {
        values
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let external = strings(list(object, &["spec", "externalIPs"]));
    match kind {
        "ExternalName" => or_none(text(object, &["spec", "externalName"]).to_owned()),
        "LoadBalancer" => {
            let ingress = list(object, &["status", "loadBalancer", "ingress"]).iter().map(|one| {
                let ip = text(one, &["ip"]);
                if ip.is_empty() {
                    text(one, &["hostname"]).to_owned()
                } else {
                    ip.to_owned()
                }
            });
            let all: Vec<String> = ingress.chain(external).collect();
            json!(if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all.join(",")
            })
        }
        _ => or_none(external.join(",")),
    }
}

/// How many entries some maps or lists have.
pub(super) fn counted(object: &Value, fields: &[&str], now: Timestamp) -> Vec<Value> {
    let size = |field: &&str| match &object[*field] {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    vec![json!(fields.iter().map(size).sum::<usize>()), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut row = vec![json!(text(object, &["type"]))];
    row.extend(counted(object, &["data"], now));
    row
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(object, &["subsets"]) {
        let ports = list(subset, &["ports"]);
        for address in list(subset, &["addresses"]) {
            let ip = text(address, &["ip"]);
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{ip}:{}", count(port, &["port"]))));
        }
    }
    vec![few(&all, 3), age(object, now)]
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, &["ports"])
        .iter()
        .map(|port| at(port, &["port"]).map_or_else(|| "*".to_owned(), Value::to_string))
        .collect();
    let addresses: Vec<String> = list(object, &["endpoints"])
        .iter()
        .flat_map(|endpoint| list(endpoint, &["addresses"]))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let unset = |cell: Value, is_empty: bool| if is_empty { json!("<unset>") } else { cell };
    vec![
        json!(text(object, &["addressType"])),
        unset(few(&ports, 3), ports.is_empty()),
        unset(few(&addresses, 3), addresses.is_empty()),
        age(object, now),
    ]
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = count(object, &["status", "readyReplicas"]);
    let mut row = vec![
        json!(format!("{ready}/{}", count(object, &["spec", "replicas"]))),
        json!(count(object, &["status", "updatedReplicas"])),
        json!(count(object, &["status", "availableReplicas"])),
        age(object, now),
    ];
    row.extend(template(object));
    row
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut row = vec![
        json!(count(object, &["spec", "replicas"])),
        json!(count(object, &["status", "replicas"])),
        json!(count(object, &["status", "readyReplicas"])),
        age(object, now),
    ];
    row.extend(template(object));
    row
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = |field: &str| json!(count(object, &["status", field]));
    let mut row = vec![
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels(at(object, &["spec", "template", "spec", "nodeSelector"])),
        age(object, now),
    ];
    row.extend(template(object));
    row
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(text(object, &["spec", "holderIdentity"])), age(object, now)]
}

/// An event of either API.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, new: &str| {
        at(object, &[core])
            .or_else(|| at(object, &[new]))
            .cloned()
            .unwrap_or_default()
    };
    let about = either("involvedObject", "regarding");
    let string = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let event_time = text(object, &["eventTime"]).to_owned();
    let first = Some(string(either("firstTimestamp", "deprecatedFirstTimestamp")))
        .filter(|t| !t.is_empty())
        .unwrap_or_else(|| event_time.clone());
    let series = text(object, &["series", "lastObservedTime"]).to_owned();
    let last = [
        series,
        string(either("lastTimestamp", "deprecatedLastTimestamp")),
        first.clone(),
    ]
    .into_iter()
    .find(|time| !time.is_empty())
    .unwrap_or_default();
    let times = at(object, &["series", "count"])
        .cloned()
        .unwrap_or_else(|| either("count", "deprecatedCount"));
    let source = either("source", "deprecatedSource");
    let component = match text(&source, &["component"]) {
        "" => string(either("reportingComponent", "reportingController")),
        component => component.to_owned(),
    };
    let source = [component.as_str(), text(&source, &["host"])]
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    vec![
        ago(&last, now),
        json!(text(object, &["type"])),
        json!(text(object, &["reason"])),
        json!(format!(
            "{}/{}",
            text(&about, &["kind"]).to_lowercase(),
            text(&about, &["name"])
        )),
        json!(text(&about, &["fieldPath"])),
        json!(source),
        json!(string(either("message", "note")).trim()),
        ago(&first, now),
        json!(times.as_i64().unwrap_or(1).to_string()),
        json!(crate::object::name(object)),
    ]
}
