//! The operators' Deployment.

use clap::Parser;
use kpr_chart::Helm;
use kpr_log_filter::LogFilter;
use kpr_operator::Options;
use serde_json::{Value, json};

fn operator(values: &[&str]) -> Value {
    let rendered = Helm::with(values).render().unwrap();
    rendered.get("Deployment", "kpr-operator").unwrap()["spec"].clone()
}

#[test]
fn operators_are_two_rather_apart_and_nobody_on_the_node() {
    let spec = operator(&[]);
    assert_eq!(spec["replicas"], 2);
    let pod = &spec["template"]["spec"];
    let apart = &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(apart["podAffinityTerm"]["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(
        apart["podAffinityTerm"]["labelSelector"], spec["selector"],
        "apart from each other and not from others"
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    let volumes = json!([{"name": "log", "configMap": {"name": "kpr-operator-log", "optional": true}}]);
    assert_eq!(pod["volumes"], volumes);
    assert!(pod["hostPID"].is_null());
}

#[test]
fn each_operator_has_a_name_of_its_own_in_the_lease_even_on_one_node() {
    let spec = operator(&[]);
    let container = &spec["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--identity=$(POD_NAME)")), "{arguments:?}");
    assert!(arguments.contains(&json!("--leader-election-namespace=$(POD_NAMESPACE)")));
    assert_eq!(
        container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.name"
    );
}

#[test]
fn a_level_changes_while_operators_run_and_nothing_of_their_deployment() {
    let table = [
        (&[][..], "info"),
        (&["log.level=warn"], "warn"),
        (&["operator.log.level=debug"], "debug"),
        (
            &["log.level=warn", "operator.log.level=off\\,kpr_operator::lease=trace"],
            "off,kpr_operator::lease=trace",
        ),
    ];
    for (values, expected) in table {
        let rendered = Helm::with(values).render().unwrap();
        let level = &rendered.get("ConfigMap", "kpr-operator-log").unwrap()["data"]["level"];
        assert_eq!(level, expected, "{values:?}");
        assert!(expected.parse::<LogFilter>().is_ok());
        assert_eq!(
            rendered.get("Deployment", "kpr-operator").unwrap()["spec"],
            operator(&[]),
            "{values:?}"
        );
    }
}

#[test]
fn operators_read_their_level_where_it_is_mounted() {
    let spec = operator(&[]);
    let container = &spec["template"]["spec"]["containers"][0];
    let options = options(container).unwrap();
    let mount = &container["volumeMounts"][0];
    assert_eq!((&mount["name"], &mount["readOnly"]), (&json!("log"), &json!(true)));
    let key = options.log_file.unwrap();
    let key = key.strip_prefix(mount["mountPath"].as_str().unwrap()).unwrap();
    let rendered = Helm::with(&[]).render().unwrap();
    let map = rendered.get("ConfigMap", "kpr-operator-log").unwrap();
    assert!(map["data"][key.to_str().unwrap()].is_string(), "{map}");
}

#[test]
fn one_operator_of_several_is_kept_while_nodes_are_drained() {
    let budget = |values: &[&str]| {
        let rendered = Helm::with(values).render().unwrap();
        rendered
            .find("PodDisruptionBudget", "kpr-operator")
            .map(|budget| budget["spec"].clone())
    };
    let two = budget(&[]).expect("with two there is one");
    assert_eq!(two["maxUnavailable"], 1);
    assert_eq!(two["selector"], operator(&[])["selector"]);
    assert_eq!(
        budget(&["operator.replicas=1"]),
        None,
        "a single one could never be moved"
    );
    assert_eq!(budget(&["operator.podDisruptionBudget.enabled=false"]), None);
}

#[test]
fn ones_own_affinity_replaces_the_usual_one() {
    let spec = operator(&["operator.affinity.nodeAffinity.x=y"]);
    assert_eq!(
        spec["template"]["spec"]["affinity"],
        json!({"nodeAffinity": {"x": "y"}})
    );
}

#[test]
fn arguments_are_what_the_operator_takes() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    for (name, pod) in rendered.pods() {
        let container = &pod["containers"][0];
        if container["command"] == json!(["kpr-operator"]) {
            options(container).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

fn options(container: &Value) -> Result<Options, clap::Error> {
    let arguments = container["args"].as_array().unwrap().iter().filter_map(Value::as_str);
    Options::try_parse_from(["kpr-operator"].into_iter().chain(arguments))
}
