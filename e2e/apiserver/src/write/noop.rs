//! Writes that change nothing are not written: no new revision, no event.

use serde_json::Value;

/// Whether `new` differs from `old` in nothing but times of managed fields.
pub(super) fn is_noop(old: &Value, new: &Value) -> bool {
    old == new || stripped(old) == stripped(new)
}

fn stripped(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Array(entries)) = object.pointer_mut("/metadata/managedFields") {
        for entry in entries {
            crate::object::map_mut(entry).remove("time");
        }
    }
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        meta.remove("resourceVersion");
    }
    object
}
