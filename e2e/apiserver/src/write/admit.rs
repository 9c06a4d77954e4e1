//! From what a client sent to a clean object in the stored version.

use serde_json::Value;

use super::{FieldValidation, WriteOptions};
use crate::error::{ApiError, Result};
use crate::field::FieldError;
use crate::kinds;
use crate::object;
use crate::resource::{Conversion, Resource};
use crate::schema::{default, prune, validate};

/// Checks that the object is of the resource's kind, as its body and the URL must agree.
pub(super) fn check_kind(resource: &Resource, object: &Value) -> Result<()> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the object provided is not an object"));
    }
    let (version, kind) = (object::text(object, &["apiVersion"]), object::text(object, &["kind"]));
    // kube-rs leaves both out of typed bodies for built-in kinds; the URL then decides, as on the real server.
    let version_fits = version == resource.api_version() || version.is_empty() && resource.is_builtin;
    let kind_fits = kind == resource.kind || kind.is_empty() && resource.is_builtin;
    if version_fits && kind_fits {
        return Ok(());
    }
    if version.is_empty() || kind.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Object 'Kind' or 'apiVersion' is missing in the body of a {}",
            resource.kind
        )));
    }
    Err(ApiError::bad_request(format!(
        "the API version in the data ({version}, Kind={kind}) does not match the expected API version ({}, Kind={})",
        resource.api_version(),
        resource.kind
    )))
}

/// Decodes as the resource's schema says: unknown fields go (or are refused), defaults come in.
pub(super) fn decode(
    resource: &Resource,
    mut object: Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value> {
    check_kind(resource, &object)?;
    let map = object::map_mut(&mut object);
    map.insert("apiVersion".into(), resource.api_version().into());
    map.insert("kind".into(), resource.kind.clone().into());
    if resource.is_builtin {
        let wrong = validate::validate_types(&resource.schema, &object, "");
        if let Some(first) = wrong.first() {
            return Err(cannot_be_handled(resource, &first.to_string()));
        }
    }
    prune_unknown(resource, &mut object, options, warnings)?;
    default::drop_nulls(&resource.schema, &mut object);
    if !resource.is_builtin {
        default::apply(&resource.schema, &mut object);
    }
    kinds::default(resource, &mut object);
    Ok(object)
}

/// Removes the fields that the schema does not know, and says so as the client asked.
pub(super) fn prune_unknown(
    resource: &Resource,
    object: &mut Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let unknown = prune::prune(&resource.schema, object);
    let words = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    match options.validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            warnings.extend(words);
            Ok(())
        }
        FieldValidation::Strict if unknown.is_empty() => Ok(()),
        FieldValidation::Strict => {
            let all: Vec<String> = words.collect();
            Err(cannot_be_handled(
                resource,
                &format!("strict decoding error: {}", all.join(", ")),
            ))
        }
    }
}

fn cannot_be_handled(resource: &Resource, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}",
        kind = resource.kind,
        version = resource.version,
    ))
}

/// The decoded object in the version that is stored.
pub(super) fn to_storage(resource: &Resource, object: Value) -> Value {
    match resource.conversion {
        Conversion::Event => crate::events::to_core(&object),
        Conversion::None => {
            let mut object = object;
            object::map_mut(&mut object).insert("apiVersion".into(), resource.storage_api_version().into());
            object
        }
    }
}

/// Every rule of schema, CEL and kind that the object breaks becomes one 422.
pub(super) fn validate_all(resource: &Resource, object: &Value, old: Option<&Value>) -> Result<()> {
    let mut errors = super::meta::validate(resource, object, old);
    if resource.is_builtin {
        errors.extend(kinds::validate(resource, object, old));
    } else {
        // The rules are those of the requested version, which shows the same fields as the stored one.
        let broken = validate::validate(&resource.schema, object, "");
        if let Some(rules) = &resource.rules {
            let blocked = broken.iter().any(FieldError::blocks_rules);
            errors.extend(broken);
            if blocked {
                errors.push(FieldError::invalid(
                    "",
                    Value::Null,
                    "some validation rules were not checked because the object was invalid; \
                     correct the existing errors to complete validation",
                ));
            } else {
                errors.extend(rules.check(object, old));
            }
        } else {
            errors.extend(broken);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &resource.group,
        &resource.kind,
        object::name(object),
        &errors,
    ))
}
