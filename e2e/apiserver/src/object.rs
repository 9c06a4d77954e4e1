//! Reading and writing the parts that every Kubernetes object has, on plain JSON.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// A string at `path`, or "" where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The value at `path`; JSON null counts as absent.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let found = path.iter().try_fold(object, |value, key| value.get(key))?;
    (!found.is_null()).then_some(found)
}

/// The list at `path`, or an empty one.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// `metadata.resourceVersion` as a number; 0 when absent or malformed.
pub(crate) fn resource_version(object: &Value) -> u64 {
    text(object, &["metadata", "resourceVersion"])
        .parse()
        .unwrap_or_default()
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    list(object, &["metadata", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// The uids of the object's owners.
pub(crate) fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    list(object, &["metadata", "ownerReferences"])
        .iter()
        .map(|owner| text(owner, &["uid"]))
}

/// `object` as a map; makes it one if it is not.
pub(crate) fn map_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    match object {
        Value::Object(map) => map,
        _ => unreachable!("made an object just above"),
    }
}

/// The map under `key`, made if absent.
pub(crate) fn child_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    map_mut(map_mut(object).entry(key).or_insert_with(|| json!({})))
}

/// `metadata`, made if absent.
pub(crate) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    child_mut(object, "metadata")
}

/// Sets `key` to `value`, or removes it when there is none.
pub(crate) fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(key.to_owned(), value);
        }
        None => {
            map.remove(key);
        }
    }
}

/// Sets `key` unless it has a value already.
pub(crate) fn put_default(map: &mut Map<String, Value>, key: &str, value: Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value);
    }
}

/// RFC 3339 in UTC with whole seconds, as `metav1.Time`.
pub(crate) fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A new random uid in the form of a version 4 UUID.
pub(crate) fn new_uid() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Two freshly seeded SipHash states: unique, which is all that a uid must be. Not a secret.
    let high = RandomState::new().hash_one(0u8);
    let low = RandomState::new().hash_one(1u8);
    let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
    let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Five characters from the alphabet that `generateName` uses (no vowels, nothing that looks alike).
pub(crate) fn name_suffix() -> String {
    use std::hash::{BuildHasher, RandomState};
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = RandomState::new().hash_one(2u8);
    let mut suffix = String::with_capacity(5);
    for _ in 0..5 {
        let index = random % ALPHABET.len() as u64;
        random /= ALPHABET.len() as u64;
        suffix.push(char::from(ALPHABET[usize::try_from(index).unwrap_or_default()]));
    }
    suffix
}
