//! Strategic merge patch: lists of built-in kinds merge by key.

use serde_json::{Map, Value, json};

use crate::error::{ApiError, Result};
use crate::object::map_mut;
use crate::schema::{Schema, StrategicList};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

/// Applies `patch` to `target`.
pub(crate) fn apply(schema: &Schema, target: &mut Value, patch: &Value) -> Result<()> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("a strategic merge patch must be an object"));
    };
    object(schema, map_mut(target), patch)
}

fn object(schema: &Schema, target: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<()> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = patch
                .iter()
                .filter(|(key, _)| *key != DIRECTIVE)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(ApiError::bad_request(format!("Unknown patch type found: {other}"))),
    }
    if let Some(Value::Array(kept)) = patch.get(RETAIN_KEYS) {
        target.retain(|key, _| kept.iter().any(|one| one == key));
    }
    let permissive = Schema::default();
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_PREFIX) {
            if let (Some(Value::Array(list)), Value::Array(gone)) = (target.get_mut(name), value) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if key.starts_with('$') {
            continue;
        }
        let field = schema.field(key).map_or(&permissive, AsRef::as_ref);
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let existing = target.entry(key.clone()).or_insert_with(|| json!({}));
                object(field, map_mut(existing), inner)?;
            }
            Value::Array(items) if field.strategic.is_some() => {
                let existing = target.entry(key.clone()).or_insert_with(|| json!([]));
                if !existing.is_array() {
                    *existing = json!([]);
                }
                if let (Value::Array(existing), Some(strategy)) = (existing, &field.strategic) {
                    list(field, strategy, existing, items)?;
                }
            }
            replaced => {
                target.insert(key.clone(), replaced.clone());
            }
        }
    }
    for (key, order) in patch {
        if let (Some(name), Value::Array(order)) = (key.strip_prefix(ORDER_PREFIX), order)
            && let Some(Value::Array(items)) = target.get_mut(name)
        {
            let field = schema.field(name).map_or(&permissive, AsRef::as_ref);
            reorder(field, items, order);
        }
    }
    Ok(())
}

fn list(schema: &Schema, strategy: &StrategicList, target: &mut Vec<Value>, patch: &[Value]) -> Result<()> {
    let StrategicList::ByKey(key) = strategy else {
        for item in patch {
            if !target.contains(item) {
                target.push(item.clone());
            }
        }
        return Ok(());
    };
    if patch
        .iter()
        .any(|item| item[DIRECTIVE] == "replace" && item.as_object().is_some_and(|map| map.len() == 1))
    {
        *target = patch
            .iter()
            .filter(|item| item.get(DIRECTIVE).is_none())
            .cloned()
            .collect();
        return Ok(());
    }
    for item in patch {
        let Value::Object(fields) = item else {
            return Err(ApiError::bad_request(
                "expected an object in a list that is merged by key",
            ));
        };
        let Some(wanted) = fields.get(key) else {
            return Err(ApiError::new(
                422,
                "Invalid",
                format!("map: {item} does not contain declared merge key: {key}"),
            ));
        };
        if fields.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
            target.retain(|existing| existing.get(key) != Some(wanted));
            continue;
        }
        if let Some(existing) = target.iter_mut().find(|existing| existing.get(key) == Some(wanted)) {
            object(schema.item(), map_mut(existing), fields)?;
        } else {
            let mut added = json!({});
            object(schema.item(), map_mut(&mut added), fields)?;
            target.push(added);
        }
    }
    Ok(())
}

/// Items named in `order` come in that order; the others keep their place behind their predecessor.
fn reorder(schema: &Schema, items: &mut [Value], order: &[Value]) {
    let position = |item: &Value| match &schema.strategic {
        Some(StrategicList::ByKey(key)) => order.iter().position(|one| one.get(key) == item.get(key)),
        _ => order.iter().position(|one| one == item),
    };
    let mut last = 0;
    let mut ranked: Vec<(usize, Value)> = items
        .iter()
        .map(|item| {
            last = position(item).unwrap_or(last);
            (last, item.clone())
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    for (slot, (_, item)) in items.iter_mut().zip(ranked) {
        *slot = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin::built_in;

    #[test]
    fn patches_of_built_in_kinds_merge_lists_by_key() {
        let pod = json!({"spec": {
            "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}],
            "tolerations": [{"key": "x"}],
        }, "metadata": {"finalizers": ["one", "two"]}});
        let cases = [
            (
                "an item is changed by its name",
                json!({"spec": {"containers": [{"name": "b", "image": "b:2"}]}}),
                "/spec/containers",
                json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}]),
            ),
            (
                "an item is deleted by its name",
                json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
                "/spec/containers",
                json!([{"name": "b", "image": "b:1"}]),
            ),
            (
                "items are ordered",
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "b:2"}]}}),
                "/spec/containers",
                json!([{"name": "b", "image": "b:2"}, {"name": "a", "image": "a:1"}]),
            ),
            (
                "a list without a key is replaced",
                json!({"spec": {"tolerations": []}}),
                "/spec/tolerations",
                json!([]),
            ),
            (
                "a list of scalars is a set",
                json!({"metadata": {"finalizers": ["three"], "$deleteFromPrimitiveList/finalizers": ["one"]}}),
                "/metadata/finalizers",
                json!(["two", "three"]),
            ),
            (
                "null removes",
                json!({"spec": {"tolerations": null}}),
                "/spec/tolerations",
                Value::Null,
            ),
        ];
        let schema = built_in().schema("io.k8s.api.core.v1.Pod");
        for (what, patch, at, want) in cases {
            let mut patched = pod.clone();
            apply(&schema, &mut patched, &patch).unwrap();
            assert_eq!(patched.pointer(at).cloned().unwrap_or_default(), want, "{what}");
        }
    }
}
