//! The reference of the API, for people: every field of the CRDs, with its type, its default and its rules.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const HEAD: &str = "\
<!-- Generated from the Rust types in crds/src by `cargo xtask codegen`. Do not edit. -->

# The API

What `kubectl explain` tells of the two kinds, on one page. A user writes a KubeProxyReplacement; the operator makes a NodeDatapath of it for every
node of its pool, and the node's agent writes that one's status. What the conditions mean, and what to do about them, is told [there](operations.md#conditions).
";

/// A page of Markdown.
pub(super) fn page(crds: &[CustomResourceDefinition]) -> String {
    let mut page = HEAD.to_owned();
    for crd in crds {
        object(crd, &mut page);
    }
    page
}

fn object(crd: &CustomResourceDefinition, page: &mut String) {
    let names = &crd.spec.names;
    let short: Vec<String> = names
        .short_names
        .iter()
        .flatten()
        .map(|name| format!(", short `{name}`"))
        .collect();
    for version in &crd.spec.versions {
        // Writing to a string can't fail.
        let _ = write!(
            page,
            "\n## {}\n\n`apiVersion: {}/{}`, {}-scoped, `kubectl get {}`{}.\n",
            names.kind,
            crd.spec.group,
            version.name,
            crd.spec.scope.to_lowercase(),
            names.plural,
            short.concat(),
        );
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref());
        let parts = schema.and_then(|schema| schema.properties.as_ref());
        for (part, schema) in parts.into_iter().flatten() {
            let _ = write!(page, "\n### {} `{part}`\n\n", names.kind);
            let text = [
                schema.description.clone().unwrap_or_default(),
                rules(schema).join("\n\n"),
            ];
            for text in text.iter().filter(|text| !text.is_empty()) {
                let _ = write!(page, "{text}\n\n");
            }
            page.push_str("| field | type | default | what it is for |\n|---|---|---|---|\n");
            fields(part, schema, page);
        }
    }
}

/// A row for each field, those of an object behind it.
fn fields(path: &str, schema: &JSONSchemaProps, page: &mut String) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let required = schema.required.iter().flatten().any(|required| required == name);
        let default = match &field.default {
            _ if required => "required".to_owned(),
            // Its fields have their own.
            Some(_) if field.properties.is_some() => String::new(),
            Some(default) => format!("`{}`", default.0),
            None => String::new(),
        };
        let text: Vec<String> = field.description.clone().into_iter().chain(rules(field)).collect();
        let _ = writeln!(
            page,
            "| `{path}` | {} | {default} | {} |",
            cell(&kind(field)),
            cell(&text.join("\n\n"))
        );
        inner(&path, field, page);
    }
}

/// The fields of the objects that a field holds.
fn inner(path: &str, field: &JSONSchemaProps, page: &mut String) {
    fields(path, field, page);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
        inner(&format!("{path}[]"), items, page);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &field.additional_properties {
        inner(&format!("{path}.*"), values, page);
    }
}

/// What a value can be.
fn kind(field: &JSONSchemaProps) -> String {
    if let Some(values) = &field.enum_ {
        let values: Vec<String> = values
            .iter()
            .filter(|value| !value.0.is_null())
            .map(|value| plain(&value.0))
            .collect();
        return values.join(", ");
    }
    if field.x_kubernetes_int_or_string == Some(true) {
        return "integer or string".to_owned();
    }
    match field.type_.as_deref() {
        Some("array") => match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => format!("list of {}", kind(items)),
            _ => "list".to_owned(),
        },
        Some("object") => match &field.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => format!("map to {}", kind(values)),
            _ => "object".to_owned(),
        },
        Some(number @ ("integer" | "number")) => match (field.minimum, field.maximum) {
            (Some(least), Some(most)) => format!("{number}, {least} to {most}"),
            (Some(least), None) => format!("{number}, at least {least}"),
            (None, Some(most)) => format!("{number}, at most {most}"),
            (None, None) => number.to_owned(),
        },
        Some("string") => match field.format.as_deref() {
            Some(format) => format!("string ({format})"),
            None => "string".to_owned(),
        },
        other => other.unwrap_or("any").to_owned(),
    }
}

/// What is told to whoever breaks a rule.
fn rules(field: &JSONSchemaProps) -> Vec<String> {
    let rules = field.x_kubernetes_validations.iter().flatten();
    rules
        .filter_map(|rule| Some(format!("Rule: {}.", rule.message.as_ref()?)))
        .collect()
}

fn plain(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| format!("`{value}`"), |text| format!("`{text}`"))
}

/// Fit for a row of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(json: serde_json::Value) -> JSONSchemaProps {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_type_tells_which_values_there_are() {
        for (json, expected) in [
            (
                serde_json::json!({"type": "string", "enum": ["SNAT", "DSR", null]}),
                "`SNAT`, `DSR`",
            ),
            (
                serde_json::json!({"type": "integer", "minimum": 1.0, "maximum": 9.0}),
                "integer, 1 to 9",
            ),
            (
                serde_json::json!({"type": "integer", "minimum": 0.0}),
                "integer, at least 0",
            ),
            (
                serde_json::json!({"x-kubernetes-int-or-string": true}),
                "integer or string",
            ),
            (
                serde_json::json!({"type": "array", "items": {"type": "string"}}),
                "list of string",
            ),
            (
                serde_json::json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map to string",
            ),
            (
                serde_json::json!({"type": "string", "format": "date-time"}),
                "string (date-time)",
            ),
        ] {
            assert_eq!(kind(&schema(json)), expected);
        }
    }

    #[test]
    fn fields_of_objects_follow_them_and_rules_are_told() {
        let mut page = String::new();
        let spec = schema(serde_json::json!({
            "required": ["a"],
            "properties": {
                "a": {"type": "string", "description": "One\ntwo | three.", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "a can't be changed"}]},
                "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "boolean", "default": true}}}},
            },
        }));
        fields("spec", &spec, &mut page);
        let expected = "\
| `spec.a` | string | required | One two \\| three.<br>Rule: a can't be changed. |
| `spec.b` | list of object |  |  |
| `spec.b[].c` | boolean | `true` |  |
";
        assert_eq!(page, expected);
    }
}
