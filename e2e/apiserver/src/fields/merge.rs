//! Merging an applied configuration into a live object, and taking out what is no longer applied.

use serde_json::Value;

use super::{FieldSet, field_element, is_atomic_list, item_element};
use crate::schema::Schema;

/// Merges `applied` into `live`: fields merge, items of associative lists merge by key, all else replaces.
pub(crate) fn merge(schema: &Schema, live: &mut Value, applied: &Value) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !schema.atomic_map => {
            let permissive = Schema::default();
            for (key, value) in applied {
                let field = schema.field(key).map_or(&permissive, AsRef::as_ref);
                match live.get_mut(key) {
                    Some(existing) => merge(field, existing, value),
                    None => {
                        live.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if !is_atomic_list(schema) => {
            for item in applied {
                let element = item_element(schema, item);
                match live
                    .iter_mut()
                    .find(|existing| item_element(schema, existing) == element)
                {
                    Some(existing) => merge(schema.item(), existing, item),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

/// Removes from `object` what `before` has and `owned` has not: fields that nobody applies any more.
pub(crate) fn remove_unowned(schema: &Schema, object: &mut Value, before: &FieldSet, owned: &FieldSet) {
    match object {
        Value::Object(map) => {
            map.retain(|key, _| {
                let element = field_element(key);
                !before.covers(&element) || owned.covers(&element)
            });
            let permissive = Schema::default();
            for (key, child) in map.iter_mut() {
                let element = field_element(key);
                let field = schema.field(key).map_or(&permissive, AsRef::as_ref);
                if before.covers(&element) && !field.atomic_map {
                    remove_unowned(field, child, before.child(&element), owned.child(&element));
                }
            }
        }
        Value::Array(items) if !is_atomic_list(schema) => {
            items.retain(|item| {
                item_element(schema, item).is_none_or(|element| !before.covers(&element) || owned.covers(&element))
            });
            for item in items.iter_mut() {
                if let Some(element) = item_element(schema, item).filter(|element| before.covers(element)) {
                    remove_unowned(schema.item(), item, before.child(&element), owned.child(&element));
                }
            }
        }
        _ => {}
    }
}
