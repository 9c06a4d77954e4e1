//! What is generated from the types is what is committed, and what is shipped is valid.

use std::path::Path;

use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementSpec, codegen};
use kube::CustomResourceExt;
use kube::core::cel::{apply_defaults, compile_schema, estimate_rule_cost};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the workspace")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schemas() -> Vec<Value> {
    codegen::crds()
        .into_iter()
        .map(|crd| serde_json::to_value(&crd.spec.versions[0].schema).expect("JSON")["openAPIV3Schema"].clone())
        .collect()
}

/// Calls `visit` with every schema inside of this one, itself included.
fn walk(schema: &Value, visit: &mut impl FnMut(&Value)) {
    visit(schema);
    for key in ["properties", "items", "additionalProperties"] {
        match (&schema[key], key) {
            (Value::Object(properties), "properties") => {
                properties.values().for_each(|schema| walk(schema, visit));
            }
            (child @ Value::Object(_), _) => walk(child, visit),
            _ => {}
        }
    }
}

#[test]
fn committed_crds_are_those_of_the_types() {
    for (path, content) in codegen::files().expect("files") {
        assert!(
            read(&path) == content,
            "{path} is not what the types say: run `cargo xtask codegen`"
        );
    }
}

#[test]
fn the_example_is_a_valid_object_with_all_defaults() {
    let kpr: KubeProxyReplacement = serde_saphyr::from_str(&read("crds/examples/kpr.yaml")).expect("example");
    assert_eq!(kpr.metadata.name.as_deref(), Some("default"));
    assert_eq!(kpr.spec, KubeProxyReplacementSpec::default());
    kpr.validate_cel().expect("no rule is broken");
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_types() {
    let schema = &schemas()[0]["properties"]["spec"];
    let from_schema = apply_defaults(schema, &json!({}));
    let from_types = serde_json::to_value(KubeProxyReplacementSpec::default()).expect("JSON");
    assert_eq!(from_schema, from_types);
}

#[test]
fn a_node_takes_every_default_of_the_policy() {
    let resolved = KubeProxyReplacementSpec::default().resolve("default", 1, kpr_crds::Phase::Active);
    let schema = &schemas()[1]["properties"]["spec"];
    let value = serde_json::to_value(&resolved).expect("JSON");
    assert_eq!(
        apply_defaults(schema, &value),
        value,
        "defaulting has nothing left to fill in"
    );
}

/// The API server refuses a CRD whose rules might cost too much; what bounds the cost is the size of what they walk.
#[test]
fn no_rule_can_be_expensive() {
    for schema in schemas() {
        walk(&schema, &mut |schema| {
            let compiled = compile_schema(schema);
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let rule = rule["rule"].as_str().expect("rule");
                let warnings = estimate_rule_cost(rule, &compiled);
                assert!(warnings.is_empty(), "{rule}: {warnings:?}");
            }
        });
    }
}

#[test]
fn every_list_and_every_string_with_rules_is_bounded() {
    for schema in schemas() {
        walk(&schema["properties"]["spec"], &mut |schema| {
            if schema["type"] == "array" {
                assert!(schema["maxItems"].is_number(), "{schema}");
            }
            if schema["type"] == "string" && schema["x-kubernetes-validations"].is_array() {
                assert!(schema["maxLength"].is_number(), "{schema}");
            }
        });
    }
}

#[test]
fn integers_have_formats_that_kubernetes_knows() {
    for schema in schemas() {
        walk(&schema, &mut |schema| {
            if schema["type"] == "integer" {
                assert!(schema["format"] == "int32" || schema["format"] == "int64", "{schema}");
            }
        });
    }
}

#[test]
fn kubectl_get_shows_mode_nodes_and_availability() {
    let names: Vec<_> = KubeProxyReplacement::crd().spec.versions[0]
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| (column.name.clone(), column.priority.unwrap_or(0)))
        .collect();
    let expected = [
        ("Mode", 0),
        ("Desired", 0),
        ("Ready", 0),
        ("Available", 0),
        ("Updated", 1),
        ("Reason", 1),
        ("Age", 0),
    ];
    assert_eq!(names, expected.map(|(name, priority)| (name.to_owned(), priority)));
}

#[test]
fn every_field_is_described() {
    for schema in schemas() {
        walk(&schema["properties"]["spec"], &mut |schema| {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let description = property["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "field {name} has no description");
                assert!(
                    !description.replace("\n\n", "").contains('\n'),
                    "{name}: lines are broken by who shows them"
                );
            }
        });
    }
}

/// Every condition and reason, as the types spell it in `as_str`.
fn spelled(source: &str) -> Vec<&str> {
    let quoted = source
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.split('"').next());
    quoted
        .filter(|word| !["True", "False", "Unknown"].contains(word))
        .collect()
}

#[test]
fn every_condition_and_reason_is_explained_to_operators() {
    let page = read("docs/operations.md");
    for source in [
        include_str!("../src/conditions/types.rs"),
        include_str!("../src/conditions/reason.rs"),
    ] {
        let words = spelled(source);
        assert!(words.len() > 10, "{words:?}");
        for word in words {
            assert!(
                page.contains(&format!("`{word}`")),
                "docs/operations.md does not explain {word}"
            );
        }
    }
}
