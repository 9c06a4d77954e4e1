//! Pods.

use serde_json::{Value, json};

use crate::field::FieldError;
use crate::object::{self, list, text};

/// A new Pod is Pending, whatever its author says.
pub(super) fn prepare_create(pod: &mut Value) {
    object::map_mut(pod).insert("status".into(), json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

pub(super) fn validate(pod: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = containers(&pod["spec"], "spec");
    if let Some(old) = old
        && frozen(old) != frozen(pod)
    {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
    errors
}

/// The containers of a pod or a pod template at `path`.
pub(super) fn containers(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let containers = list(spec, &["containers"]);
    let host_network = spec["hostNetwork"] == true;
    if containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    for (index, container) in containers.iter().enumerate() {
        let path = format!("{path}.containers[{index}]");
        for field in ["name", "image"] {
            if text(container, &[field]).is_empty() {
                errors.push(FieldError::required(format!("{path}.{field}"), ""));
            }
        }
        if containers[..index]
            .iter()
            .any(|other| other["name"] == container["name"])
        {
            errors.push(FieldError::duplicate(format!("{path}.name"), container["name"].clone()));
        }
        for (at, port) in list(container, &["ports"]).iter().enumerate() {
            let number = port["containerPort"].as_i64().unwrap_or_default();
            if !(1..=65535).contains(&number) {
                errors.push(FieldError::invalid(
                    format!("{path}.ports[{at}].containerPort"),
                    number,
                    "must be between 1 and 65535, inclusive",
                ));
            }
            // 0 is none.
            let host_port = port["hostPort"].as_i64().unwrap_or_default();
            let host_path = || format!("{path}.ports[{at}].hostPort");
            if !(0..=65535).contains(&host_port) {
                errors.push(FieldError::invalid(
                    host_path(),
                    host_port,
                    "must be between 1 and 65535, inclusive",
                ));
            } else if host_network && host_port != 0 && host_port != number {
                errors.push(FieldError::invalid(
                    host_path(),
                    host_port,
                    "must match `containerPort` when `hostNetwork` is true",
                ));
            }
        }
    }
    errors
}

/// What an update may not change.
fn frozen(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    let map = object::map_mut(&mut spec);
    for free in [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "schedulingGates",
    ] {
        map.remove(free);
    }
    for kind in ["containers", "initContainers"] {
        for container in map.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            object::map_mut(container).remove("image");
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_port_is_a_port_and_the_containers_own_in_the_nodes_network() {
        for (host_network, host_port, errors) in [
            (false, 0, 0),
            (false, 8080, 0),
            (false, 65_536, 1),
            (false, -1, 1),
            (true, 80, 0),
            (true, 8080, 1),
        ] {
            let spec = json!({"hostNetwork": host_network, "containers": [
                {"name": "web", "image": "web", "ports": [{"containerPort": 80, "hostPort": host_port}]},
            ]});
            assert_eq!(containers(&spec, "spec").len(), errors, "{host_port}");
        }
    }
}
