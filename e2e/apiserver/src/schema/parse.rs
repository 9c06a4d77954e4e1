//! From the JSON of a schema (OpenAPI v3 as in a CRD, or JSON Schema of the built-in types) to [`Schema`].

use std::sync::Arc;

use serde_json::Value;

use super::{Bound, Checks, ListType, Schema, StrategicList, Type};
use crate::field::join;

/// A schema that cannot be served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{path}: {why}")]
pub(crate) struct SchemaError {
    pub(crate) path: String,
    pub(crate) why: String,
}

impl SchemaError {
    fn new(path: &str, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

/// Parses `json`; `resolve` finds the target of a `$ref`. `path` names the place in error messages.
pub(crate) fn parse(
    json: &Value,
    path: &str,
    resolve: &mut dyn FnMut(&str) -> Option<Arc<Schema>>,
) -> Result<Schema, SchemaError> {
    // A reference with a description of its own is wrapped: OpenAPI 3.0 allows nothing beside `$ref`.
    let wrapped = json
        .get("allOf")
        .and_then(Value::as_array)
        .filter(|all| all.len() == 1)
        .and_then(|all| all[0].get("$ref"));
    if let Some(reference) = json.get("$ref").or(wrapped).and_then(Value::as_str) {
        let target =
            resolve(reference).ok_or_else(|| SchemaError::new(path, format!("unsupported reference {reference}")))?;
        return Ok((*target).clone());
    }
    let mut schema = Schema {
        kind: kind(json, path)?,
        nullable: flag(json, "nullable"),
        preserve_unknown: flag(json, "x-kubernetes-preserve-unknown-fields"),
        int_or_string: flag(json, "x-kubernetes-int-or-string"),
        embedded: flag(json, "x-kubernetes-embedded-resource"),
        default: json.get("default").cloned(),
        list: list_type(json, path)?,
        atomic_map: json.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
        strategic: strategic(json),
        checks: checks(json, path, resolve)?,
        ..Schema::default()
    };
    if let Some(Value::Object(properties)) = json.get("properties") {
        for (name, property) in properties {
            let child = parse(property, &join(path, &format!("properties[{name}]")), resolve)?;
            schema.properties.insert(name.clone(), Arc::new(child));
        }
    }
    match json.get("additionalProperties") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => schema.additional = Some(Schema::anything()),
        Some(values) => {
            schema.additional = Some(Arc::new(parse(values, &join(path, "additionalProperties"), resolve)?));
        }
    }
    if let Some(items) = json.get("items") {
        schema.items = Some(Arc::new(parse(items, &join(path, "items"), resolve)?));
    }
    Ok(schema)
}

fn kind(json: &Value, path: &str) -> Result<Option<Type>, SchemaError> {
    let Some(kind) = json.get("type") else { return Ok(None) };
    match kind.as_str() {
        Some("object") => Ok(Some(Type::Object)),
        Some("array") => Ok(Some(Type::Array)),
        Some("string") => Ok(Some(Type::String)),
        Some("integer") => Ok(Some(Type::Integer)),
        Some("number") => Ok(Some(Type::Number)),
        Some("boolean") => Ok(Some(Type::Boolean)),
        Some("") => Ok(None),
        _ => Err(SchemaError::new(
            &join(path, "type"),
            format!(
                "Unsupported value: {kind}: supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""
            ),
        )),
    }
}

fn list_type(json: &Value, path: &str) -> Result<ListType, SchemaError> {
    match json.get("x-kubernetes-list-type").and_then(Value::as_str) {
        None | Some("atomic") => Ok(ListType::Atomic),
        Some("set") => Ok(ListType::Set),
        Some("map") => {
            let keys: Vec<String> = json
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array)
                .map(|keys| keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default();
            if keys.is_empty() {
                return Err(SchemaError::new(
                    &join(path, "x-kubernetes-list-map-keys"),
                    "Required value: must not be empty if x-kubernetes-list-type is map",
                ));
            }
            Ok(ListType::Map(keys))
        }
        Some(other) => Err(SchemaError::new(
            &join(path, "x-kubernetes-list-type"),
            format!("Unsupported value: {other:?}: supported values: \"atomic\", \"map\", \"set\""),
        )),
    }
}

fn strategic(json: &Value) -> Option<StrategicList> {
    if json.get("x-kubernetes-patch-strategy").and_then(Value::as_str) != Some("merge") {
        return None;
    }
    let key = json.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
    Some(key.map_or(StrategicList::Scalars, |key| StrategicList::ByKey(key.to_owned())))
}

fn checks(
    json: &Value,
    path: &str,
    resolve: &mut dyn FnMut(&str) -> Option<Arc<Schema>>,
) -> Result<Checks, SchemaError> {
    let pattern = match json.get("pattern").and_then(Value::as_str) {
        None | Some("") => None,
        Some(pattern) => Some(regex::Regex::new(pattern).map_err(|error| {
            SchemaError::new(
                &join(path, "pattern"),
                format!("Invalid value: {pattern:?}: must be a valid regular expression, but isn't: {error}"),
            )
        })?),
    };
    let mut branches = |key: &str| -> Result<Vec<Schema>, SchemaError> {
        let Some(Value::Array(list)) = json.get(key) else {
            return Ok(Vec::new());
        };
        list.iter()
            .map(|branch| parse(branch, &join(path, key), resolve))
            .collect()
    };
    let (all_of, any_of, one_of) = (branches("allOf")?, branches("anyOf")?, branches("oneOf")?);
    let not = match json.get("not") {
        Some(not) => Some(Box::new(parse(not, &join(path, "not"), resolve)?)),
        None => None,
    };
    Ok(Checks {
        format: json.get("format").and_then(Value::as_str).map(str::to_owned),
        required: json
            .get("required")
            .and_then(Value::as_array)
            .map(|fields| fields.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        allowed: json.get("enum").and_then(Value::as_array).cloned(),
        minimum: bound(json, "minimum", "exclusiveMinimum"),
        maximum: bound(json, "maximum", "exclusiveMaximum"),
        multiple_of: json.get("multipleOf").and_then(Value::as_f64),
        min_length: count(json, "minLength"),
        max_length: count(json, "maxLength"),
        pattern,
        min_items: count(json, "minItems"),
        max_items: count(json, "maxItems"),
        unique_items: flag(json, "uniqueItems"),
        min_properties: count(json, "minProperties"),
        max_properties: count(json, "maxProperties"),
        all_of,
        any_of,
        one_of,
        not,
    })
}

fn flag(json: &Value, key: &str) -> bool {
    json.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn count(json: &Value, key: &str) -> Option<u64> {
    let number = json.get(key)?;
    // Generators write whole numbers as floats (`10.0`).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are small whole numbers"
    )]
    number.as_u64().or_else(|| number.as_f64().map(|float| float as u64))
}

fn bound(json: &Value, key: &str, exclusive: &str) -> Option<Bound> {
    let value = json.get(key)?.as_f64()?;
    Some(Bound {
        value,
        exclusive: flag(json, exclusive),
    })
}
