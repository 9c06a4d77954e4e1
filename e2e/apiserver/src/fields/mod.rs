//! Sets of fields (`fieldsV1`): who owns what in an object.

mod compare;
mod merge;
mod set;
mod walk;

pub(crate) use compare::{Comparison, compare};
pub(crate) use merge::{merge, remove_unowned};
pub(crate) use set::FieldSet;
pub(crate) use walk::owned_fields;

use serde_json::{Map, Value};

use crate::schema::{ListType, Schema};

/// One step of a path in its `fieldsV1` form: `f:spec`, `k:{"type":"Ready"}`, `v:"eth0"`.
pub(crate) type Element = String;

pub(crate) fn field_element(name: &str) -> Element {
    format!("f:{name}")
}

/// The element that tells a list item apart, if the list has any.
pub(crate) fn item_element(schema: &Schema, item: &Value) -> Option<Element> {
    match &schema.list {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{item}")),
        ListType::Map(keys) => {
            let mut names = keys.clone();
            names.sort();
            let mut key = Map::new();
            for name in names {
                let default = || schema.item().properties.get(&name)?.default.clone();
                if let Some(value) = item.get(&name).cloned().or_else(default) {
                    key.insert(name, value);
                }
            }
            Some(format!("k:{}", Value::Object(key)))
        }
    }
}

/// The items of a list with their elements; `None` if the list is atomic.
pub(crate) fn keyed_items<'a>(schema: &Schema, list: &'a [Value]) -> Option<Vec<(Element, &'a Value)>> {
    list.iter()
        .map(|item| Some((item_element(schema, item)?, item)))
        .collect()
}

/// Whether the list has no owner of its own items.
pub(crate) fn is_atomic_list(schema: &Schema) -> bool {
    schema.list == ListType::Atomic
}
