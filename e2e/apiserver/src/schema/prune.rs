//! Removing what a schema does not know, and telling which fields those were.

use serde_json::Value;

use super::Schema;
use crate::field::join;

/// Removes unknown fields from `value`; returns their paths, in order.
pub(crate) fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    node(schema, value, "", &mut unknown);
    unknown
}

fn node(schema: &Schema, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let implicit =
                |key: &str| (schema.embedded || path.is_empty()) && matches!(key, "apiVersion" | "kind" | "metadata");
            map.retain(|key, _| {
                let known = schema.field(key).is_some()
                    || implicit(key)
                    || schema.kind.is_none() && schema.properties.is_empty();
                if !known {
                    unknown.push(join(path, key));
                }
                known
            });
            for (key, child) in map {
                if let Some(child_schema) = schema.field(key) {
                    node(child_schema, child, &join(path, key), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                node(schema.item(), item, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}
