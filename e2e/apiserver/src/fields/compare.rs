//! What changed between two forms of an object, as sets of fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Element, FieldSet, field_element, is_atomic_list, keyed_items};
use crate::schema::Schema;

/// The differences.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

/// Compares `old` with `new`; absent counts as an empty object.
pub(crate) fn compare(schema: &Schema, old: Option<&Value>, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    let empty = Value::Object(serde_json::Map::new());
    let mut path = Vec::new();
    let old = old.unwrap_or(&empty);
    children(&mut comparison, &mut path, schema, Some(old), Some(new));
    comparison
}

fn insert(set: &mut FieldSet, path: &[Element]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut set = set;
    for parent in parents {
        set = set.child_mut(parent);
    }
    set.insert(last.clone());
}

fn node(out: &mut Comparison, path: &mut Vec<Element>, schema: &Schema, old: Option<&Value>, new: Option<&Value>) {
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    if old == new {
        return;
    }
    if !is_leaf(schema, old, new) {
        children(out, path, schema, old, new);
        match (old, new) {
            (None, Some(_)) => insert(&mut out.added, path),
            (Some(_), None) => insert(&mut out.removed, path),
            _ => {}
        }
        return;
    }
    match (old, new) {
        (None, Some(_)) => insert(&mut out.added, path),
        (Some(_), None) => insert(&mut out.removed, path),
        _ => insert(&mut out.modified, path),
    }
}

/// Scalars, atomic values, values that changed their type, and containers that are empty on both sides.
fn is_leaf(schema: &Schema, old: Option<&Value>, new: Option<&Value>) -> bool {
    let sides = [old, new];
    let mut present = sides.iter().flatten();
    if present.clone().all(|value| value.is_object()) {
        return schema.atomic_map || present.all(|value| value.as_object().is_some_and(serde_json::Map::is_empty));
    }
    if present.clone().all(|value| value.is_array()) {
        return is_atomic_list(schema) || present.all(|value| value.as_array().is_some_and(Vec::is_empty));
    }
    true
}

fn children(out: &mut Comparison, path: &mut Vec<Element>, schema: &Schema, old: Option<&Value>, new: Option<&Value>) {
    if old.or(new).is_some_and(Value::is_array) {
        let items = |side: Option<&'_ Value>| -> Vec<(Element, Value)> {
            let list = side.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            keyed_items(schema, list)
                .into_iter()
                .flatten()
                .map(|(element, item)| (element, item.clone()))
                .collect()
        };
        let (old, new) = (items(old), items(new));
        let elements: BTreeSet<&Element> = old.iter().chain(&new).map(|(element, _)| element).collect();
        for element in elements {
            let find =
                |side: &'_ [(Element, Value)]| side.iter().find(|(e, _)| e == element).map(|(_, item)| item.clone());
            path.push(element.clone());
            node(out, path, schema.item(), find(&old).as_ref(), find(&new).as_ref());
            path.pop();
        }
        return;
    }
    let map = |side: Option<&'_ Value>| side.and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (map(old), map(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let permissive = Schema::default();
    for key in keys {
        path.push(field_element(key));
        node(
            out,
            path,
            schema.field(key).map_or(&permissive, AsRef::as_ref),
            old.get(key),
            new.get(key),
        );
        path.pop();
    }
}
