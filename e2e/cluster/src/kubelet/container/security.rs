//! A container's security context, as arguments of setpriv(1). Pure.

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{Container, PodSpec};

/// What container runtimes leave a container by default (containerd's `defaultUnixCaps`).
const DEFAULT: [&str; 14] = [
    "chown",
    "dac_override",
    "fsetid",
    "fowner",
    "mknod",
    "net_raw",
    "setgid",
    "setuid",
    "setfcap",
    "setpcap",
    "net_bind_service",
    "sys_chroot",
    "kill",
    "audit_write",
];

/// The user, the capabilities and the privileges of a container's process.
pub(super) fn arguments(spec: &PodSpec, container: &Container) -> Result<Vec<String>> {
    let of_container = container.security_context.as_ref();
    if of_container.and_then(|context| context.privileged).unwrap_or(false) {
        bail!("the test cluster runs no privileged containers: name the capabilities");
    }
    let of_pod = spec.security_context.as_ref();
    let user = of_container
        .and_then(|context| context.run_as_user)
        .or_else(|| of_pod.and_then(|context| context.run_as_user))
        .unwrap_or(0);
    let group = of_container
        .and_then(|context| context.run_as_group)
        .or_else(|| of_pod.and_then(|context| context.run_as_group))
        .unwrap_or(0);
    let never_root = of_container
        .and_then(|context| context.run_as_non_root)
        .or_else(|| of_pod.and_then(|context| context.run_as_non_root));
    if never_root.unwrap_or(false) && user == 0 {
        bail!("container has runAsNonRoot and image will run as root");
    }
    let mut arguments = vec![
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
        format!("--bounding-set={}", set(&capabilities(container))),
        "--inh-caps=-all".to_owned(),
    ];
    let may_gain = of_container
        .and_then(|context| context.allow_privilege_escalation)
        .unwrap_or(true);
    if !may_gain {
        arguments.push("--no-new-privs".to_owned());
    }
    Ok(arguments)
}

/// `readOnlyRootFilesystem`.
pub(super) fn has_read_only_root(container: &Container) -> bool {
    let context = container.security_context.as_ref();
    context
        .and_then(|context| context.read_only_root_filesystem)
        .unwrap_or(false)
}

/// What is left of the defaults, and what is added, in the form of setpriv: lower case, without `CAP_`.
fn capabilities(container: &Container) -> Vec<String> {
    let changes = container
        .security_context
        .as_ref()
        .and_then(|context| context.capabilities.clone())
        .unwrap_or_default();
    let plain = |name: &String| name.to_ascii_lowercase().trim_start_matches("cap_").to_owned();
    let dropped: Vec<String> = changes.drop.iter().flatten().map(plain).collect();
    let mut left: Vec<String> = DEFAULT
        .into_iter()
        .map(str::to_owned)
        .filter(|name| !dropped.contains(name) && !dropped.iter().any(|dropped| dropped == "all"))
        .collect();
    left.extend(changes.add.iter().flatten().map(plain));
    left.sort();
    left.dedup();
    left
}

fn set(capabilities: &[String]) -> String {
    let added: Vec<String> = capabilities.iter().map(|name| format!(",+{name}")).collect();
    format!("-all{}", added.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(pod: &Value, container: &Value) -> Result<Vec<String>> {
        let spec = serde_json::from_value(json!({"containers": [], "securityContext": pod}))?;
        let container = serde_json::from_value(json!({"name": "c", "securityContext": container}))?;
        arguments(&spec, &container)
    }

    #[test]
    fn a_container_has_the_capabilities_that_it_names_and_no_others() {
        let context = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "BPF"]},
        });
        assert_eq!(
            of(&Value::Null, &context).expect("known"),
            [
                "--reuid=0",
                "--regid=0",
                "--clear-groups",
                "--bounding-set=-all,+bpf,+net_admin",
                "--inh-caps=-all",
                "--no-new-privs",
            ]
        );
    }

    #[test]
    fn without_a_word_it_has_the_runtimes_default() {
        let arguments = of(&Value::Null, &Value::Null).expect("known");
        assert!(arguments[3].contains("+net_raw") && !arguments[3].contains("net_admin"));
    }

    #[test]
    fn a_pod_that_must_not_be_root_is_not() {
        let error = of(&json!({"runAsNonRoot": true}), &Value::Null).expect_err("root");
        assert!(error.to_string().contains("runAsNonRoot"));
        let arguments = of(&json!({"runAsNonRoot": true, "runAsUser": 65532}), &Value::Null).expect("known");
        assert_eq!(arguments[0], "--reuid=65532");
    }

    #[test]
    fn a_privileged_container_is_refused() {
        assert!(of(&Value::Null, &json!({"privileged": true})).is_err());
    }
}
