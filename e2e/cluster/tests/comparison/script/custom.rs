//! CustomResourceDefinitions: good ones, bad ones, and what becomes of them.

use anyhow::Result;
use serde_json::{Value, json};

use super::CRDS;
use crate::{
    request::{get, patch, post},
    server::Server,
};

/// Everything that kpr's own schemas use, and a little more.
pub(super) fn gadgets() -> Value {
    let spec = json!({
        "type": "object",
        "required": ["size"],
        "x-kubernetes-validations": [
            {"rule": "self.low <= self.high", "message": "low must not be above high", "fieldPath": ".low"},
            {"rule": "!has(oldSelf.colour) || has(self.colour)", "message": "a colour stays"},
        ],
        "properties": {
            "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 100, "multipleOf": 1},
            "low": {"type": "integer", "default": 1},
            "high": {"type": "integer", "default": 10},
            "mode": {"type": "string", "enum": ["Strict", "Partial"], "default": "Strict"},
            "colour": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 8},
            "fixed": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]},
            "cidrs": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 43,
                "x-kubernetes-validations": [{"rule": "isCIDR(self)", "messageExpression": "'no CIDR: ' + self"}]}},
            "names": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 4, "minItems": 1, "items": {"type": "string"}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "port": {"type": "integer", "default": 80}}}},
            "either": {"x-kubernetes-int-or-string": true},
            "nothing": {"type": "string", "nullable": true, "default": "something"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
            "when": {"type": "string", "format": "date-time"},
            "ratio": {"type": "number", "exclusiveMinimum": true, "minimum": 0},
            "deep": {"type": "object", "default": {}, "properties": {"a": {"type": "boolean", "default": true}}},
        },
    });
    let schema = json!({
        "type": "object", "description": "A gadget.", "required": ["spec"],
        "properties": {
            "spec": spec,
            "status": {"type": "object", "properties": {"ready": {"type": "boolean"}, "replicas": {"type": "integer"}, "observedGeneration": {"type": "integer"}}},
        },
    });
    definition(
        "gadgets",
        "Gadget",
        &json!({
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"}},
            "selectableFields": [{"jsonPath": ".spec.mode"}],
            "additionalPrinterColumns": [
                {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "description": "How much"},
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Ready", "type": "boolean", "jsonPath": ".status.ready", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        }),
    )
}

/// The same without anything: no status, no columns, no rules.
pub(super) fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}, "status": {"type": "object", "properties": {"b": {"type": "string"}}}}});
    definition(
        "widgets",
        "Widget",
        &json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}),
    )
}

fn definition(plural: &str, kind: &str, version: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.compare.kpr.dev")},
        "spec": {
            "group": "compare.kpr.dev", "scope": "Namespaced", "versions": [version],
            "names": {"kind": kind, "plural": plural, "shortNames": [&plural[..2]], "categories": ["compared"]},
        },
    })
}

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    for object in [gadgets(), widgets()] {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        server.silently(post(CRDS, &object)).await?;
        let at = format!("{CRDS}/{name}");
        let established = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        };
        server.until_it(&at, "is established", established).await?;
        server.ask(&format!("{name}, established"), get(&at)).await?;
        let plural = name.split('.').next().unwrap_or_default();
        server.until(&format!("/apis/compare.kpr.dev/v1/{plural}"), 200).await?;
    }
    server
        .ask(
            "its description is changed",
            patch(
                "merge",
                format!("{CRDS}/widgets.compare.kpr.dev"),
                &json!({"metadata": {"labels": {"a": "b"}}}),
            ),
        )
        .await?;
    server
        .ask(
            "its scope is changed",
            patch(
                "merge",
                format!("{CRDS}/widgets.compare.kpr.dev"),
                &json!({"spec": {"scope": "Cluster"}}),
            ),
        )
        .await?;
    refused(server).await
}

async fn refused(server: &mut Server<'_>) -> Result<()> {
    let changed = |at: &str, value: Value| {
        let mut object = widgets();
        object["metadata"]["name"] = "bads.compare.kpr.dev".into();
        object["spec"]["names"] = json!({"kind": "Bad", "plural": "bads"});
        if let Some(field) = object.pointer_mut(at) {
            *field = value;
        }
        object
    };
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let spec = |spec: Value| json!({"type": "object", "properties": {"spec": spec}});
    for (what, object) in [
        (
            "a name that does not fit",
            changed("/metadata/name", "others.compare.kpr.dev".into()),
        ),
        ("a scope that is none", changed("/spec/scope", "Galaxy".into())),
        (
            "a version that is not stored",
            changed("/spec/versions/0/storage", false.into()),
        ),
        (
            "a version name that is none",
            changed("/spec/versions/0/name", "V_1".into()),
        ),
        ("no schema", changed("/spec/versions/0/schema", Value::Null)),
        (
            "a field without a type",
            changed(schema, spec(json!({"properties": {"a": {}}}))),
        ),
        ("a type that is none", changed(schema, spec(json!({"type": "colour"})))),
        (
            "a rule that is no CEL",
            changed(
                schema,
                spec(json!({"type": "string", "x-kubernetes-validations": [{"rule": "self ==", "message": "x"}]})),
            ),
        ),
        (
            "a rule that is no truth",
            changed(
                schema,
                spec(json!({"type": "string", "x-kubernetes-validations": [{"rule": "self + 'a'"}]})),
            ),
        ),
        (
            "a rule on an unknown field",
            changed(
                schema,
                spec(
                    json!({"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [{"rule": "self.b == 'a'"}]}),
                ),
            ),
        ),
        (
            "a default of a wrong type",
            changed(schema, spec(json!({"type": "string", "default": 5}))),
        ),
        (
            "a pattern that is none",
            changed(schema, spec(json!({"type": "string", "pattern": "("}))),
        ),
        (
            "a list type that is none",
            changed(
                schema,
                spec(json!({"type": "array", "x-kubernetes-list-type": "heap", "items": {"type": "string"}})),
            ),
        ),
        (
            "a map without keys",
            changed(
                schema,
                spec(json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}})),
            ),
        ),
        (
            "additional and named properties",
            changed(
                schema,
                spec(
                    json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
                ),
            ),
        ),
        ("a lower-case kind", changed("/spec/names/kind", "bad".into())),
    ] {
        server
            .ask(&format!("refused: {what}"), post(format!("{CRDS}?dryRun=All"), &object))
            .await?;
    }
    Ok(())
}
