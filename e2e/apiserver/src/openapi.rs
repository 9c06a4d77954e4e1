//! OpenAPI v3: enough for kubectl to validate, apply and explain.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use crate::resource::Resource;
use crate::resource::registry::Registry;
use crate::schema::builtin::{DEFINITIONS, built_in};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const GVK: &str = "x-kubernetes-group-version-kind";

/// A stable hash of a document, for ETags and cache-busting URLs.
pub(crate) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// `/openapi/v3`: one document per group and version.
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group, versions) in registry.groups() {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let document = document(registry, &group, &version).unwrap_or_default();
            let hash = digest(&document.to_string());
            let url = format!("/openapi/v3/{path}?hash={hash:016X}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The media type of OpenAPI v2 for kubectl.
pub(crate) const V2_CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v2`: a document that describes nothing (no bytes are an empty protobuf message).
///
/// kubectl before 1.29 insists on one for create and apply; without a schema it leaves the validation to the server.
pub(crate) fn v2_protobuf() -> Vec<u8> {
    Vec::new()
}

/// The document of one group and version.
pub(crate) fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = BTreeMap::new();
    for resource in registry.of_version(group, version) {
        let name = schema_name(resource);
        schemas.insert(name.clone(), schema(resource));
        paths.extend(resource_paths(resource, &name));
    }
    if paths.is_empty() {
        return None;
    }
    schemas.insert(
        META.to_owned(),
        built_in().definitions.get(META).cloned().unwrap_or_default(),
    );
    add_referenced(&mut schemas);
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn schema_name(resource: &Resource) -> String {
    if let Some(reference) = resource.openapi.get("$ref").and_then(Value::as_str) {
        reference.trim_start_matches(DEFINITIONS).to_owned()
    } else {
        let mut parts: Vec<&str> = resource.group.split('.').collect();
        parts.reverse();
        format!("{}.{}.{}", parts.join("."), resource.version, resource.kind)
    }
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn schema(resource: &Resource) -> Value {
    let mut schema = if resource.is_builtin {
        built_in()
            .definitions
            .get(&schema_name(resource))
            .cloned()
            .unwrap_or_default()
    } else {
        let mut schema = (*resource.openapi).clone();
        let properties = crate::object::child_mut(&mut schema, "properties");
        let text = |words: &str| json!({"type": "string", "description": words});
        properties.insert(
            "apiVersion".into(),
            text("APIVersion defines the versioned schema of this object."),
        );
        properties.insert("kind".into(), text("Kind is the REST resource this object represents."));
        properties.insert(
            "metadata".into(),
            json!({"allOf": [{"$ref": format!("{DEFINITIONS}{META}")}], "description": "Standard object's metadata."}),
        );
        schema
    };
    crate::object::map_mut(&mut schema).insert(GVK.into(), json!([gvk(resource)]));
    schema
}

/// Adds the definitions that the schemas refer to, and those that they refer to.
fn add_referenced(schemas: &mut BTreeMap<String, Value>) {
    let mut open: Vec<String> = schemas.values().flat_map(references).collect();
    while let Some(name) = open.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let definition = built_in()
            .definitions
            .get(&name)
            .cloned()
            .unwrap_or_else(|| json!({"type": "object"}));
        open.extend(references(&definition));
        schemas.insert(name, definition);
    }
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(reference)) => vec![reference.trim_start_matches(DEFINITIONS).to_owned()],
                (_, value) => references(value),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn resource_paths(resource: &Resource, schema: &str) -> Vec<(String, Value)> {
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{base}{scope}/{}", resource.plural);
    let mut paths = vec![
        (
            collection.clone(),
            operations(
                resource,
                schema,
                &[("get", "list"), ("post", "post"), ("delete", "deletecollection")],
            ),
        ),
        (
            format!("{collection}/{{name}}"),
            operations(
                resource,
                schema,
                &[("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete")],
            ),
        ),
    ];
    if resource.has_status {
        paths.push((
            format!("{collection}/{{name}}/status"),
            operations(resource, schema, &[("get", "get"), ("put", "put"), ("patch", "patch")]),
        ));
    }
    paths
}

fn operations(resource: &Resource, schema: &str, methods: &[(&str, &str)]) -> Value {
    let reference = json!({"$ref": format!("{DEFINITIONS}{schema}")});
    let mut item = Map::new();
    for (method, action) in methods {
        let mut operation = json!({
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
            "x-kubernetes-action": action,
            GVK: gvk(resource),
        });
        if matches!(*method, "post" | "put" | "patch") {
            let parameter =
                |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
            operation["parameters"] = json!([
                parameter("dryRun"),
                parameter("fieldManager"),
                parameter("fieldValidation")
            ]);
        }
        item.insert((*method).to_owned(), operation);
    }
    Value::Object(item)
}
