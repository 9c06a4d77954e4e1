//! The agents' DaemonSet: what it may, what it sees, when it is well.

use kpr_chart::Helm;
use serde_json::{Value, json};

fn agent(values: &[&str]) -> Value {
    let rendered = Helm::with(values).render().unwrap();
    rendered.get("DaemonSet", "kpr-agent").unwrap()["spec"]["template"]["spec"].clone()
}

fn environment(container: &Value, name: &str) -> Option<String> {
    let variables = container["env"].as_array().unwrap();
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    Some(variable["value"].as_str().unwrap_or("from elsewhere").to_owned())
}

#[test]
fn agents_have_named_capabilities_and_a_read_only_root_and_are_not_privileged() {
    let pod = agent(&[]);
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": ["BPF", "NET_ADMIN", "NET_RAW", "PERFMON", "SYS_ADMIN", "SYS_PTRACE"]})
    );
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
}

#[test]
fn nothing_that_the_chart_runs_is_privileged_or_finds_the_api_server_by_chance() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    let pods = rendered.pods();
    assert_eq!(pods.len(), 6, "agents, operators, three Jobs and the test");
    for (name, pod) in pods {
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(container["securityContext"]["privileged"], false, "{name}");
            assert_eq!(
                container["securityContext"]["capabilities"]["drop"],
                json!(["ALL"]),
                "{name}"
            );
            // The test is there to find out whether Services work; all others work without.
            let host = environment(container, "KUBERNETES_SERVICE_HOST");
            let expected = (name != "kpr-test").then_some("192.168.49.2");
            assert_eq!(host.as_deref(), expected, "{name}");
            assert_eq!(pod["hostNetwork"] == true, expected.is_some(), "{name}");
        }
        assert!(pod["initContainers"].is_null(), "{name}");
    }
}

#[test]
fn agents_run_on_every_node_whatever_its_taints_and_before_others() {
    let pod = agent(&[]);
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!((&pod["hostNetwork"], &pod["hostPID"]), (&json!(true), &json!(true)));
    assert_eq!(pod["dnsPolicy"], "Default", "the cluster's DNS is behind a Service");
    let strategy = Helm::with(&["updateStrategy.rollingUpdate.maxUnavailable=10%"])
        .render()
        .unwrap();
    let strategy = strategy.get("DaemonSet", "kpr-agent").unwrap()["spec"]["updateStrategy"].clone();
    assert_eq!(
        strategy,
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}})
    );
}

#[test]
fn what_an_agent_sees_of_its_node_is_where_it_looks_for_it() {
    let pod = agent(&["cgroup.hostRoot=/sys/fs/cgroup/unified,bpf.root=/mnt/bpf,daemon.runPath=/run/other"]);
    let container = &pod["containers"][0];
    let on_node = |mount: &str| {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|one| one["mountPath"] == mount)?;
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|one| one["name"] == mount["name"])?;
        volume["hostPath"]["path"].as_str()
    };
    let table = [
        (
            "KPR_CGROUP_ROOT",
            "/host/cgroup",
            "/host/cgroup",
            "/sys/fs/cgroup/unified",
        ),
        ("KPR_BPFFS_ROOT", "/sys/fs/bpf/kpr", "/sys/fs/bpf", "/mnt/bpf"),
        ("KPR_RUN_DIR", "/run/kpr", "/run/kpr", "/run/other"),
        (
            "KPR_SYSCTL_ROOT",
            "/host/proc/sys",
            "/host/proc/sys/net",
            "/proc/sys/net",
        ),
    ];
    for (variable, inside, mount, outside) in table {
        assert_eq!(environment(container, variable).as_deref(), Some(inside));
        assert_eq!(on_node(mount), Some(outside), "{variable}");
    }
    assert_eq!(on_node("/run/xtables.lock"), Some("/run/xtables.lock"));
    let mounts = container["volumeMounts"].as_array().unwrap().len();
    assert_eq!(mounts, table.len() + 1, "no other mount");
    assert_eq!(
        container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
        "spec.nodeName"
    );
}

#[test]
fn probes_ask_the_agent_itself_and_no_port() {
    let pod = agent(&[]);
    for (probe, question) in [
        ("startupProbe", "live"),
        ("livenessProbe", "live"),
        ("readinessProbe", "ready"),
    ] {
        let probe = &pod["containers"][0][probe];
        assert_eq!(probe["exec"]["command"], json!(["kpr", "probe", question]));
    }
}

#[test]
fn ports_are_where_the_values_say() {
    let arguments = |values: &[&str]| agent(values)["containers"][0]["args"].clone();
    let usual = arguments(&[]);
    let usual: Vec<_> = usual.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(usual.contains(&"--healthz-bind-address=0.0.0.0:10256"), "{usual:?}");
    assert!(usual.contains(&"--metrics-bind-address=127.0.0.1:10249"), "{usual:?}");
    let other = arguments(&["kubeProxyReplacementHealthzBindAddr=,prometheus.enabled=true,prometheus.port=9090"]);
    let other: Vec<_> = other.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(other.contains(&"--healthz-bind-address="), "{other:?}");
    assert!(other.contains(&"--metrics-bind-address=0.0.0.0:9090"), "{other:?}");
}
