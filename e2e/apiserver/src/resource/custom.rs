//! From a CustomResourceDefinition to the resources that it serves.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Columns, Conversion, GroupResource, PrintColumn, Resource, ScalePaths};
use crate::field::{FieldError, join};
use crate::jsonpath::JsonPath;
use crate::object::{at, list, text};
use crate::schema::builtin::built_in;
use crate::schema::cel::Rules;
use crate::schema::{Schema, Type, parse};

/// The served versions of a (defaulted) CRD, or what is wrong with it.
pub(crate) fn resources(crd: &Value) -> Result<Vec<Resource>, Vec<FieldError>> {
    let mut errors = validate(crd);
    let mut served = Vec::new();
    for (index, version) in list(crd, &["spec", "versions"]).iter().enumerate() {
        match resource(crd, version, &format!("spec.versions[{index}]")) {
            Ok(resource) if version["served"] == true => served.push(resource),
            Ok(_) => {}
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(served) } else { Err(errors) }
}

fn validate(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let group = text(crd, &["spec", "group"]);
    let plural = text(crd, &["spec", "names", "plural"]);
    for (path, value) in [
        ("spec.group", group),
        ("spec.names.plural", plural),
        ("spec.names.singular", text(crd, &["spec", "names", "singular"])),
        ("spec.names.kind", text(crd, &["spec", "names", "kind"])),
        ("spec.names.listKind", text(crd, &["spec", "names", "listKind"])),
    ] {
        if value.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
    }
    let name = crate::object::name(crd);
    let want = format!("{plural}.{group}");
    if name != want {
        errors.push(FieldError::invalid(
            "metadata.name",
            name,
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let scope = text(crd, &["spec", "scope"]);
    if !matches!(scope, "Cluster" | "Namespaced") {
        errors.push(FieldError::not_supported(
            "spec.scope",
            scope,
            &["Cluster", "Namespaced"],
        ));
    }
    let versions = list(crd, &["spec", "versions"]);
    let storage = versions.iter().filter(|version| version["storage"] == true).count();
    if storage != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", "array", why));
    }
    if text(crd, &["spec", "conversion", "strategy"]) == "Webhook" {
        errors.push(FieldError::forbidden(
            "spec.conversion.strategy",
            "this API server does not call conversion webhooks",
        ));
    }
    errors
}

fn resource(crd: &Value, version: &Value, path: &str) -> Result<Resource, Vec<FieldError>> {
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    let Some(json) = at(version, &["schema", "openAPIV3Schema"]) else {
        return Err(vec![FieldError::required(schema_path, "schemas are required")]);
    };
    let schema = parse(json, &schema_path, &mut |_| None)
        .map_err(|error| vec![FieldError::invalid(error.path, "", error.why)])?;
    let mut errors = structural(&schema, &schema_path);
    let mut selectable = Vec::new();
    for (index, field) in list(version, &["selectableFields"])
        .iter()
        .chain(list(crd, &["spec", "selectableFields"]))
        .enumerate()
    {
        let text = text(field, &["jsonPath"]);
        match JsonPath::parse(text).map(|path| (path.fields().map(|fields| fields.join(".")), path)) {
            Ok((Some(label), path)) => selectable.push((label, path)),
            Ok((None, _)) => errors.push(bad_path(
                &format!("{path}.selectableFields[{index}].jsonPath"),
                text,
                "is not a plain field path",
            )),
            Err(error) => errors.push(bad_path(
                &format!("{path}.selectableFields[{index}].jsonPath"),
                text,
                &error.to_string(),
            )),
        }
    }
    let columns = columns(version, path)
        .map_err(|more| errors.extend(more))
        .unwrap_or_default();
    let scale = scale(version, path)
        .map_err(|more| errors.extend(more))
        .unwrap_or_default();
    let rules = Rules::compile(json, &schema_path)
        .map_err(|more| errors.extend(more))
        .ok();
    if !errors.is_empty() {
        return Err(errors);
    }
    let names = &crd["spec"]["names"];
    let strings = |key: &str| {
        list(names, &[key])
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let group = text(crd, &["spec", "group"]).to_owned();
    let plural = text(names, &["plural"]).to_owned();
    let storage_version = list(crd, &["spec", "versions"])
        .iter()
        .find(|version| version["storage"] == true)
        .map(|version| text(version, &["name"]))
        .unwrap_or_default();
    Ok(Resource {
        storage: GroupResource::new(&group, &plural),
        storage_version: storage_version.to_owned(),
        version: text(version, &["name"]).to_owned(),
        kind: text(names, &["kind"]).to_owned(),
        list_kind: text(names, &["listKind"]).to_owned(),
        singular: text(names, &["singular"]).to_owned(),
        short_names: strings("shortNames"),
        categories: strings("categories"),
        namespaced: text(crd, &["spec", "scope"]) == "Namespaced",
        has_status: at(version, &["subresources", "status"]).is_some(),
        scale,
        counts_generation: true,
        unconditional_update: false,
        create_on_update: false,
        is_builtin: false,
        conversion: Conversion::None,
        schema: Arc::new(with_object_fields(schema)),
        openapi: Arc::new(json.clone()),
        rules,
        columns: Columns::Custom(columns),
        selectable,
        warning: deprecation(version, &group, names),
        group,
        plural,
    })
}

fn bad_path(path: &str, value: &str, why: &str) -> FieldError {
    FieldError::invalid(path, value, why)
}

/// The rules for structural schemas that matter here.
fn structural(schema: &Schema, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if schema.kind != Some(Type::Object) {
        errors.push(FieldError::required(
            format!("{path}.type"),
            "must be object at the root",
        ));
    }
    nested_types(schema, path, &mut errors);
    errors
}

fn nested_types(schema: &Schema, path: &str, errors: &mut Vec<FieldError>) {
    if schema.kind.is_none() && !schema.int_or_string && !schema.preserve_unknown {
        errors.push(FieldError::required(
            join(path, "type"),
            "must not be empty for specified object fields",
        ));
    }
    if !schema.properties.is_empty() && schema.additional.is_some() {
        errors.push(FieldError::forbidden(
            join(path, "additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    for (name, child) in &schema.properties {
        nested_types(child, &format!("{path}.properties[{name}]"), errors);
    }
    if let Some(values) = &schema.additional {
        nested_types(values, &join(path, "additionalProperties"), errors);
    }
    if schema.kind == Some(Type::Array) {
        match &schema.items {
            Some(items) => nested_types(items, &join(path, "items"), errors),
            None => errors.push(FieldError::required(join(path, "items"), "must be specified")),
        }
    }
}

/// Adds what every object has, so that metadata is known, typed and merged properly.
fn with_object_fields(mut schema: Schema) -> Schema {
    let text = Arc::new(Schema {
        kind: Some(Type::String),
        ..Schema::default()
    });
    schema.properties.insert("apiVersion".into(), text.clone());
    schema.properties.insert("kind".into(), text);
    let meta = built_in().schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    schema.properties.insert("metadata".into(), meta);
    schema
}

fn columns(version: &Value, path: &str) -> Result<Vec<PrintColumn>, Vec<FieldError>> {
    let declared = list(version, &["additionalPrinterColumns"]);
    if declared.is_empty() {
        let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
        return column(&age, path)
            .map(|column| vec![column])
            .map_err(|error| vec![error]);
    }
    let mut columns = Vec::new();
    let mut errors = Vec::new();
    for (index, one) in declared.iter().enumerate() {
        match column(one, &format!("{path}.additionalPrinterColumns[{index}]")) {
            Ok(column) => columns.push(column),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(columns) } else { Err(errors) }
}

fn column(json: &Value, path: &str) -> Result<PrintColumn, FieldError> {
    let json_path = text(json, &["jsonPath"]);
    Ok(PrintColumn {
        name: text(json, &["name"]).to_owned(),
        kind: text(json, &["type"]).to_owned(),
        format: text(json, &["format"]).to_owned(),
        description: text(json, &["description"]).to_owned(),
        priority: json["priority"].as_i64().unwrap_or_default(),
        path: JsonPath::parse(json_path)
            .map_err(|error| bad_path(&format!("{path}.jsonPath"), json_path, &error.to_string()))?,
    })
}

fn scale(version: &Value, path: &str) -> Result<Option<ScalePaths>, Vec<FieldError>> {
    let Some(scale) = at(version, &["subresources", "scale"]) else {
        return Ok(None);
    };
    let path_of = |key: &str| {
        let value = text(scale, &[key]);
        JsonPath::parse(value).map_err(|error| {
            vec![bad_path(
                &format!("{path}.subresources.scale.{key}"),
                value,
                &error.to_string(),
            )]
        })
    };
    let selector = if at(scale, &["labelSelectorPath"]).is_some() {
        Some(path_of("labelSelectorPath")?)
    } else {
        None
    };
    Ok(Some(ScalePaths {
        spec_replicas: path_of("specReplicasPath")?,
        status_replicas: path_of("statusReplicasPath")?,
        selector,
    }))
}

fn deprecation(version: &Value, group: &str, names: &Value) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    let default = || {
        format!(
            "{group}/{} {} is deprecated",
            text(version, &["name"]),
            text(names, &["kind"])
        )
    };
    Some(
        version["deprecationWarning"]
            .as_str()
            .map_or_else(default, str::to_owned),
    )
}

/// Kubernetes' version priority: GA over beta over alpha, newer first, then the rest by name.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

fn rank(version: &str) -> Option<(u8, u32, u32)> {
    let rest = version.strip_prefix('v')?;
    for (marker, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(marker) {
            return Some((stability, major.parse().ok()?, minor.parse().ok()?));
        }
    }
    Some((2, rest.parse().ok()?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_stability_then_age() {
        let mut versions = vec!["v1alpha1", "foo1", "v2", "v1beta2", "v1", "v1beta1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo1"]);
    }
}
