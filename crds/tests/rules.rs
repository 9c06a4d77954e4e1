//! Every CEL rule of the CRDs lets good objects pass, and refuses bad ones with a message that names the field.

use std::collections::BTreeSet;

use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementSpec, codegen};
use kube::core::cel::Validator;
use serde_json::{Value, json};

/// A change of the default object, and what is said about it.
struct Refused {
    change: Value,
    /// Start of the message: the field that is wrong.
    field: &'static str,
}

fn refused(change: Value, field: &'static str) -> Refused {
    Refused { change, field }
}

fn object(change: &Value) -> Value {
    let mut object = serde_json::to_value(KubeProxyReplacement::new(
        "default",
        KubeProxyReplacementSpec::default(),
    ))
    .expect("JSON");
    merge(&mut object, change);
    object
}

fn merge(target: &mut Value, change: &Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, change) => *target = change.clone(),
    }
}

fn schema() -> Value {
    let crd = &codegen::crds()[0];
    serde_json::to_value(&crd.spec.versions[0].schema).expect("JSON")["openAPIV3Schema"].clone()
}

fn messages(object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(), object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

fn bad_objects() -> Vec<Refused> {
    let ports = |range: &str| json!({ "spec": { "nodePort": { "range": range } } });
    let snat = |range: &str| json!({ "spec": { "loadBalancer": { "snatPorts": range } } });
    let addresses = |list: &[&str]| json!({ "spec": { "nodePort": { "addresses": list } } });
    let maglev = |size: u32| json!({ "spec": { "loadBalancer": { "maglevTableSize": size } } });
    let unavailable = |value: Value| json!({ "spec": { "updateStrategy": { "maxUnavailable": value } } });
    let expression = |operator: &str, values: &[&str]| {
        let expression = json!({ "key": "pool", "operator": operator, "values": values });
        json!({ "spec": { "nodeSelector": { "matchExpressions": [expression] } } })
    };
    vec![
        refused(json!({ "metadata": { "name": "x".repeat(64) } }), "metadata.name"),
        refused(ports("32767-30000"), "spec.nodePort.range is reversed"),
        refused(ports("30000-70000"), "spec.nodePort.range"),
        refused(addresses(&["10.0.0.0/33"]), "spec.nodePort.addresses"),
        refused(addresses(&["10.0.0/8"]), "spec.nodePort.addresses"),
        refused(addresses(&["fd00::/129"]), "spec.nodePort.addresses"),
        refused(addresses(&["primary", "10.0.0.1"]), "spec.nodePort.addresses"),
        refused(addresses(&["everything"]), "spec.nodePort.addresses"),
        refused(snat("65535-45000"), "spec.loadBalancer.snatPorts is reversed"),
        refused(snat("80-1500"), "spec.loadBalancer.snatPorts: a port"),
        refused(snat("45000-65536"), "spec.loadBalancer.snatPorts: a port"),
        refused(
            snat("32767-40000"),
            "spec.loadBalancer.snatPorts overlaps spec.nodePort.range",
        ),
        refused(
            snat("20000-60000"),
            "spec.loadBalancer.snatPorts overlaps spec.nodePort.range",
        ),
        refused(
            maglev(1000),
            "spec.loadBalancer.maglevTableSize must be one of the primes",
        ),
        refused(json!({ "spec": { "devices": ["eth0", "lo"] } }), "spec.devices"),
        refused(
            json!({ "spec": { "directRoutingDevice": "lo" } }),
            "spec.directRoutingDevice",
        ),
        refused(
            json!({ "spec": { "services": { "nodePort": true } } }),
            "spec.services can be given only",
        ),
        refused(json!({ "spec": { "mode": "Partial" } }), "spec.services must turn on"),
        refused(
            json!({ "spec": { "mode": "Partial", "services": {} } }),
            "spec.services must turn on",
        ),
        refused(
            json!({ "spec": {
                "mode": "Partial", "services": { "nodePort": true }, "kubeProxy": { "policy": "Disable" }
            } }),
            "spec.kubeProxy.policy",
        ),
        refused(
            json!({ "spec": { "socketLB": { "enabled": false } } }),
            "spec.socketLB.packetFallback",
        ),
        refused(
            json!({ "spec": { "socketLB": { "hostNamespaceOnly": true } } }),
            "spec.socketLB.packetFallback",
        ),
        refused(unavailable(json!(0)), "spec.updateStrategy.maxUnavailable"),
        refused(unavailable(json!("0%")), "spec.updateStrategy.maxUnavailable"),
        refused(unavailable(json!("101%")), "spec.updateStrategy.maxUnavailable"),
        refused(unavailable(json!("ten")), "spec.updateStrategy.maxUnavailable"),
        refused(expression("In", &[]), "spec.nodeSelector.matchExpressions"),
        refused(expression("Exists", &["a"]), "spec.nodeSelector.matchExpressions"),
    ]
}

/// The API server fills defaults in before it checks rules.
fn defaulted(object: &Value) -> Value {
    kube::core::cel::apply_defaults(&schema(), object)
}

#[test]
fn bad_objects_are_refused_with_a_message_that_names_the_field() {
    for Refused { change, field } in bad_objects() {
        let messages = messages(&defaulted(&object(&change)), None);
        assert!(
            messages.iter().any(|message| message.starts_with(field)),
            "{change}: {messages:?}"
        );
    }
}

#[test]
fn good_objects_pass() {
    let good = [
        json!({}),
        json!({ "spec": { "nodePort": { "range": "30000-30000" } } }),
        json!({ "spec": { "nodePort": { "addresses": ["192.168.0.0/16", "fd00::/64", "localhost"] } } }),
        json!({ "spec": { "nodePort": { "addresses": ["primary"] } } }),
        json!({ "spec": { "loadBalancer": { "snatPorts": "1024-29999" } } }),
        json!({ "spec": { "loadBalancer": { "algorithm": "Maglev", "maglevTableSize": 65521 } } }),
        json!({ "spec": { "devices": ["eth0", "enp*", "loopy"], "directRoutingDevice": "eth0.100" } }),
        json!({ "spec": { "mode": "Partial", "services": { "loadBalancer": true } } }),
        json!({ "spec": { "kubeProxy": { "policy": "Disable" } } }),
        json!({ "spec": { "socketLB": { "hostNamespaceOnly": true, "packetFallback": true } } }),
        json!({ "spec": {
            "mode": "Partial", "services": { "nodePort": true }, "socketLB": { "enabled": false }
        } }),
        json!({ "spec": { "updateStrategy": { "maxUnavailable": 5 } } }),
        json!({ "spec": { "updateStrategy": { "maxUnavailable": "25%" } } }),
        json!({ "spec": { "nodeSelector": {
            "matchLabels": { "pool": "edge" },
            "matchExpressions": [
                { "key": "zone", "operator": "In", "values": ["a"] },
                { "key": "gpu", "operator": "DoesNotExist", "values": [] },
            ],
        } } }),
    ];
    for change in good {
        assert_eq!(
            messages(&defaulted(&object(&change)), None),
            Vec::<String>::new(),
            "{change}"
        );
    }
}

#[test]
fn the_maglev_table_can_not_change_its_size() {
    let old = object(&json!({}));
    let new = object(&json!({ "spec": { "loadBalancer": { "maglevTableSize": 65521 } } }));
    assert_eq!(messages(&old, Some(&old)), Vec::<String>::new());
    let messages = messages(&new, Some(&old));
    assert!(
        messages[0].starts_with("spec.loadBalancer.maglevTableSize can't be changed"),
        "{messages:?}"
    );
}

/// So that a new rule can't come without an example of what it refuses.
#[test]
fn every_rule_has_an_object_that_it_refuses() {
    let mut rules = BTreeSet::new();
    collect(&schema(), &mut rules);
    assert!(rules.len() > 10, "rules are found");
    let said: BTreeSet<String> = bad_objects()
        .iter()
        .flat_map(|bad| messages(&defaulted(&object(&bad.change)), None))
        .collect();
    let untested: Vec<_> = rules
        .iter()
        .filter(|message| !said.contains(*message) && !message.contains("can't be changed"))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

fn collect(schema: &Value, messages: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                messages.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
            }
            fields.values().for_each(|value| collect(value, messages));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, messages)),
        _ => {}
    }
}

#[test]
fn enums_and_formats_are_closed() {
    let spec = &schema()["properties"]["spec"]["properties"];
    let values = [
        (&spec["mode"], json!(["Strict", "Partial"])),
        (
            &spec["loadBalancer"]["properties"]["algorithm"],
            json!(["Random", "Maglev", "LeastConnections"]),
        ),
        (
            &spec["loadBalancer"]["properties"]["mode"],
            json!(["SNAT", "DSR", "Hybrid"]),
        ),
        (
            &spec["loadBalancer"]["properties"]["dsrDispatch"],
            json!(["Geneve", "IPIP"]),
        ),
        (
            &spec["loadBalancer"]["properties"]["acceleration"],
            json!(["Disabled", "BestEffort", "Native"]),
        ),
        (
            &spec["kubeProxy"]["properties"]["policy"],
            json!(["Observe", "Disable"]),
        ),
        (
            &spec["updateStrategy"]["properties"]["onFailure"],
            json!(["Halt", "Rollback"]),
        ),
    ];
    for (field, values) in values {
        assert_eq!(field["enum"], values);
    }
    assert!(spec["nodePort"]["properties"]["range"]["pattern"].is_string());
    assert!(spec["loadBalancer"]["properties"]["snatPorts"]["pattern"].is_string());
}
