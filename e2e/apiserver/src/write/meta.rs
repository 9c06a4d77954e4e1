//! Rules for `metadata`.

use serde_json::Value;

use crate::field::FieldError;
use crate::names;
use crate::object::{self, at, list, text};
use crate::resource::Resource;

/// What is wrong with the object's metadata.
pub(super) fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = object::name(object);
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if old.is_none()
        && let Some(why) = names::check(resource, name)
    {
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    for (key, value) in at(object, &["metadata", "labels"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let Some(why) = names::qualified_name_error(key) {
            errors.push(FieldError::invalid("metadata.labels", key.clone(), why));
        }
        if let Some(why) = value.as_str().and_then(names::label_value_error) {
            errors.push(FieldError::invalid("metadata.labels", value.clone(), why));
        }
    }
    for key in at(object, &["metadata", "annotations"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, _)| k)
    {
        if let Some(why) = names::qualified_name_error(key) {
            errors.push(FieldError::invalid("metadata.annotations", key.clone(), why));
        }
    }
    errors.extend(finalizers(object, old));
    errors.extend(owners(object));
    errors
}

fn finalizers(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let finalizers = object::finalizers(object);
    for (index, finalizer) in finalizers.iter().enumerate() {
        if let Some(why) = names::qualified_name_error(finalizer) {
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                *finalizer,
                why,
            ));
        }
    }
    if let Some(old) = old.filter(|old| object::is_terminating(old)) {
        let before = object::finalizers(old);
        let added: Vec<String> = finalizers
            .iter()
            .filter(|f| !before.contains(f))
            .map(|f| format!("{f:?}"))
            .collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", why));
        }
    }
    errors
}

fn owners(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers = 0;
    for owner in list(object, &["metadata", "ownerReferences"]) {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, &[field]).is_empty() {
                errors.push(FieldError::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    "",
                    why,
                ));
            }
        }
        controllers += usize::from(owner["controller"] == true);
    }
    if controllers > 1 {
        let why = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid("metadata.ownerReferences", "array", why));
    }
    errors
}
