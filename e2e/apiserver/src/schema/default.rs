//! Filling in a schema's defaults.

use serde_json::Value;

use super::Schema;

/// Applies the defaults of `schema` to `value`, also inside defaulted values.
///
/// An explicit null in a field that is not nullable and has a default is replaced, as the API server does.
pub(crate) fn apply(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in &schema.properties {
                let Some(default) = &child.default else { continue };
                let missing = match map.get(key) {
                    None => true,
                    Some(Value::Null) => !child.nullable,
                    Some(_) => false,
                };
                if missing {
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, child) in map.iter_mut() {
                if let Some(child_schema) = schema.field(key) {
                    apply(child_schema, child);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                apply(schema.item(), item);
            }
        }
        _ => {}
    }
}

/// Removes nulls from fields that are not nullable: the API server drops them, so that they mean "unset".
pub(crate) fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, child| {
                !child.is_null()
                    || schema
                        .field(key)
                        .is_none_or(|field| field.nullable || field.preserve_unknown && field.kind.is_none())
            });
            for (key, child) in map.iter_mut() {
                if let Some(child_schema) = schema.field(key) {
                    drop_nulls(child_schema, child);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                drop_nulls(schema.item(), item);
            }
        }
        _ => {}
    }
}
