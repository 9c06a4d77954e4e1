//! The fields that a given object sets.

use serde_json::Value;

use super::{FieldSet, field_element, is_atomic_list, keyed_items};
use crate::schema::Schema;

/// The set of fields in `object`: what a manager that applies it owns.
pub(crate) fn owned_fields(schema: &Schema, object: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    if let Value::Object(map) = object {
        for (key, value) in map {
            visit(
                &mut set,
                &field_element(key),
                schema.field(key).map(AsRef::as_ref),
                schema.declares(key),
                value,
            );
        }
    }
    set
}

fn visit(set: &mut FieldSet, element: &str, schema: Option<&Schema>, declared: bool, value: &Value) {
    let permissive = Schema::default();
    let schema = schema.unwrap_or(&permissive);
    match value {
        Value::Object(map) if !schema.atomic_map => {
            for (key, child) in map {
                let below = set.child_mut(element);
                visit(
                    below,
                    &field_element(key),
                    schema.field(key).map(AsRef::as_ref),
                    schema.declares(key),
                    child,
                );
            }
            if map.is_empty() || !declared {
                set.insert(element.to_owned());
            }
        }
        Value::Array(list) if !is_atomic_list(schema) => {
            for (key, item) in keyed_items(schema, list).into_iter().flatten() {
                let below = set.child_mut(element);
                visit(below, &key, Some(schema.item()), true, item);
                below.insert(key);
            }
        }
        _ => set.insert(element.to_owned()),
    }
}
