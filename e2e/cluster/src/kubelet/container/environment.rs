//! A container's environment and arguments. Pure.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt as _;

use super::{joined, root::PROGRAMS};
use crate::address::Addresses;

/// What a container may ask about.
#[derive(Clone, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) pod: &'a Pod,
    pub(super) node: &'a str,
    pub(super) pod_addresses: Addresses,
    pub(super) host_addresses: Addresses,
    /// Address and port of the Service `kubernetes`, which every container is told.
    pub(super) kubernetes: Option<(String, String)>,
}

/// The variables of a container: the later of two of the same name wins, and its own win over those that every container gets.
pub(super) fn of(container: &Container, surroundings: &Surroundings<'_>) -> Result<Vec<(String, String)>> {
    let mut variables = vec![
        ("PATH".to_owned(), format!("{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin")),
        ("HOSTNAME".to_owned(), hostname(surroundings)),
    ];
    if let Some((host, port)) = &surroundings.kubernetes {
        variables.push(("KUBERNETES_SERVICE_HOST".to_owned(), host.clone()));
        variables.push(("KUBERNETES_SERVICE_PORT".to_owned(), port.clone()));
    }
    if container.env_from.as_ref().is_some_and(|from| !from.is_empty()) {
        bail!("the test cluster's kubelet does not know envFrom");
    }
    for variable in container.env.iter().flatten() {
        let value = value(variable, surroundings).with_context(|| format!("the variable {}", variable.name))?;
        let value = expand(&value, &variables);
        variables.retain(|(name, _)| *name != variable.name);
        variables.push((variable.name.clone(), value));
    }
    Ok(variables)
}

/// The program and its arguments, with `$(NAME)` replaced.
pub(super) fn command(container: &Container, environment: &[(String, String)]) -> Vec<String> {
    let words = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten());
    words.map(|word| expand(word, environment)).collect()
}

/// With `hostNetwork` a pod has its node's name.
fn hostname(surroundings: &Surroundings<'_>) -> String {
    let spec = surroundings.pod.spec.as_ref();
    if spec.and_then(|spec| spec.host_network).unwrap_or(false) {
        surroundings.node.to_owned()
    } else {
        surroundings.pod.name_any()
    }
}

fn value(variable: &EnvVar, surroundings: &Surroundings<'_>) -> Result<String> {
    let Some(from) = &variable.value_from else {
        return Ok(variable.value.clone().unwrap_or_default());
    };
    let Some(field) = &from.field_ref else {
        bail!("the test cluster's kubelet knows fieldRef only");
    };
    let first = |addresses: Addresses| addresses.primary().map(|address| address.to_string());
    let pod = surroundings.pod;
    let value = match field.field_path.as_str() {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => Some(surroundings.node.to_owned()),
        "spec.serviceAccountName" => pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" => first(surroundings.pod_addresses),
        "status.podIPs" => Some(joined(surroundings.pod_addresses)),
        "status.hostIP" => first(surroundings.host_addresses),
        "status.hostIPs" => Some(joined(surroundings.host_addresses)),
        other => bail!("the test cluster's kubelet does not know the field {other}"),
    };
    value.with_context(|| format!("the pod has no {}", field.field_path))
}

/// `$(NAME)` becomes the variable's value, if there is one, and `$$` a dollar sign.
fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
            continue;
        }
        let named = rest.strip_prefix("$(").and_then(|after| after.split_once(')'));
        let known = named.and_then(|(name, after)| {
            let (_, value) = variables.iter().find(|(known, _)| known == name)?;
            Some((value, after))
        });
        if let Some((value, after)) = known {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "agent-x", "namespace": "kube-system"},
            "spec": {"hostNetwork": true, "containers": []},
        }))
        .expect("a pod")
    }

    fn surroundings(pod: &Pod) -> Surroundings<'_> {
        Surroundings {
            pod,
            node: "node-a",
            pod_addresses: Addresses::v4([192, 168, 49, 2].into()),
            host_addresses: Addresses::v4([192, 168, 49, 2].into()),
            kubernetes: Some(("10.96.0.1".to_owned(), "443".to_owned())),
        }
    }

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).expect("a container")
    }

    #[test]
    fn the_api_servers_own_address_wins_over_the_services() {
        let pod = pod();
        let container = container(
            json!({"name": "agent", "command": ["/kpr-node-agent", "--node-name=$(NODE)"], "args": ["$$(NODE)", "$(NONE)"], "env": [
                {"name": "KUBERNETES_SERVICE_HOST", "value": "192.168.49.2"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ]}),
        );
        let variables = of(&container, &surroundings(&pod)).expect("known fields");
        let value = |name: &str| {
            let found: Vec<&str> = variables
                .iter()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0]
        };
        assert_eq!(value("KUBERNETES_SERVICE_HOST"), "192.168.49.2");
        assert_eq!(value("KUBERNETES_SERVICE_PORT"), "443");
        assert_eq!(value("HOSTNAME"), "node-a");
        assert_eq!(
            command(&container, &variables),
            ["/kpr-node-agent", "--node-name=node-a", "$(NODE)", "$(NONE)"]
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let pod = pod();
        let container = container(json!({"name": "agent", "env": [
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]}));
        let error = of(&container, &surroundings(&pod)).expect_err("not known");
        assert!(format!("{error:#}").contains("SECRET"), "{error:#}");
    }
}
