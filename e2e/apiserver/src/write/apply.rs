//! Server-side apply.

use serde_json::{Value, json};

use super::{FieldValidation, Part, WriteOptions, Written, admit, update};
use crate::error::{ApiError, Result};
use crate::field::FieldError;
use crate::fields::{FieldSet, merge, owned_fields, remove_unowned};
use crate::managed::{self, Manager};
use crate::object;
use crate::resource::{ObjectKey, Resource};
use crate::schema::prune;
use crate::state::State;

impl State {
    /// Applies a configuration: creates the object, or merges into it what its manager owns.
    pub(crate) fn apply(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        part: Part,
        applied: &Value,
        force: bool,
        options: &WriteOptions,
    ) -> Result<Written> {
        check_request(resource, key, applied, options)?;
        let mut warnings = Vec::new();
        let config = clean_config(resource, applied, options, &mut warnings)?;
        let live = self.store.get(key).cloned();
        if live.is_none() && part != Part::Main {
            return Err(ApiError::not_found(resource.about(&key.name)));
        }
        let old = live.as_ref().map(|live| resource.project(live));
        let merged = self::merged(resource, part, old.as_ref(), &config, force, options)?;
        let mut new = admit::decode(resource, merged, options, &mut warnings)?;
        let Some((live, old)) = live.zip(old) else {
            // The URL names the object; the configuration need not.
            object::meta_mut(&mut new).insert("name".into(), key.name.clone().into());
            let key = self.identify(resource, &key.namespace, &mut new)?;
            return self.finish_create(resource, &key, new, options, warnings);
        };
        check_version(resource, key, applied, &old)?;
        update::keep_other_parts(resource, part, &old, &mut new);
        if part == Part::Main {
            // Applying never removes what the server set.
            for field in [
                "uid",
                "creationTimestamp",
                "resourceVersion",
                "generation",
                "deletionTimestamp",
            ] {
                object::put(object::meta_mut(&mut new), field, old["metadata"].get(field).cloned());
            }
        }
        self.finish_update(resource, key, part, &live, new, options, warnings)
    }
}

fn check_request(resource: &Resource, key: &ObjectKey, applied: &Value, options: &WriteOptions) -> Result<()> {
    if !options.manager_is_named {
        let error = [FieldError::required("fieldManager", "is required for apply patch")];
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &error));
    }
    for field in ["apiVersion", "kind"] {
        if object::text(applied, &[field]).is_empty() {
            return Err(ApiError::bad_request(format!(
                "Object '{field}' is missing in an apply patch"
            )));
        }
    }
    admit::check_kind(resource, applied)?;
    if object::at(applied, &["metadata", "managedFields"]).is_some() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let name = object::name(applied);
    if !name.is_empty() && name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let namespace = object::namespace(applied);
    if resource.namespaced && !namespace.is_empty() && namespace != key.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// A resourceVersion or uid in the configuration is a precondition.
fn check_version(resource: &Resource, key: &ObjectKey, applied: &Value, old: &Value) -> Result<()> {
    let asked = object::text(applied, &["metadata", "resourceVersion"]);
    let uid = object::uid(applied);
    if !asked.is_empty() && asked.parse() != Ok(object::resource_version(old))
        || !uid.is_empty() && uid != object::uid(old)
    {
        return Err(ApiError::modified(resource.about(&key.name)));
    }
    Ok(())
}

/// The configuration without unknown fields and nulls, and without defaults: only what its author wrote is owned.
fn clean_config(
    resource: &Resource,
    applied: &Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value> {
    let mut config = applied.clone();
    if options.validation != FieldValidation::Strict
        && let Some(field) = prune::prune(&resource.schema, &mut applied.clone()).first()
    {
        return Err(not_in_schema(resource, applied, field));
    }
    admit::prune_unknown(resource, &mut config, options, warnings)?;
    crate::schema::default::drop_nulls(&resource.schema, &mut config);
    Ok(config)
}

/// An unknown field has no owner: whatever the client wants of validation, such a configuration cannot be applied.
fn not_in_schema(resource: &Resource, applied: &Value, field: &str) -> ApiError {
    let (namespace, name) = (object::namespace(applied), object::name(applied));
    let (version, kind) = (resource.api_version(), &resource.kind);
    let group = if resource.group.is_empty() { "/" } else { "" };
    ApiError::internal(format!(
        "failed to create typed patch object ({namespace}/{name}; {group}{version}, Kind={kind}): \
         .{field}: field not declared in schema"
    ))
}

/// The live object with the configuration merged in, what was given up taken out, and managers updated.
fn merged(
    resource: &Resource,
    part: Part,
    old: Option<&Value>,
    config: &Value,
    force: bool,
    options: &WriteOptions,
) -> Result<Value> {
    let schema = &resource.schema;
    let mut fields = owned_fields(schema, config);
    managed::strip(resource, part, &mut fields);
    let me = Manager {
        name: options.manager.clone(),
        applies: true,
        api_version: resource.api_version(),
        subresource: managed::subresource(part),
        time: object::time(options.now),
        fields,
    };
    let mut managers = old.map(managed::read).unwrap_or_default();
    let mut new = old.cloned().unwrap_or_else(|| json!({}));
    merge(schema, &mut new, config);
    object::meta_mut(&mut new).remove("managedFields");
    let before = managers.iter().find(|manager| manager.is(&me)).cloned();
    if let Some(before) = &before {
        let others = managers.iter().filter(|manager| !manager.is(&me));
        let owned = others.fold(me.fields.clone(), |owned, manager| owned.union(&manager.fields));
        remove_unowned(schema, &mut new, &before.fields, &owned);
    }
    let changes = managed::changes(resource, part, old, &new);
    let taken = changes.added.union(&changes.modified);
    let conflicts: Vec<(&Manager, FieldSet)> = managers
        .iter()
        .filter(|manager| !manager.is(&me))
        .map(|manager| (manager, manager.fields.intersection(&taken)))
        .filter(|(_, conflict)| !conflict.is_empty())
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(conflict_error(&conflicts));
    }
    for manager in managers.iter_mut().filter(|manager| !manager.is(&me)) {
        manager.fields = manager.fields.difference(&taken).difference(&changes.removed);
    }
    managers.retain(|manager| !manager.is(&me));
    let unchanged =
        before.filter(|before| before.fields == me.fields && taken.is_empty() && changes.removed.is_empty());
    let time = unchanged.map_or_else(|| me.time.clone(), |before| before.time);
    managers.push(Manager { time, ..me });
    managed::write(&mut new, managers);
    Ok(new)
}

fn conflict_error(conflicts: &[(&Manager, FieldSet)]) -> ApiError {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for (manager, set) in conflicts {
        let who = conflicting(manager);
        let paths = set.paths();
        for path in &paths {
            causes.push(
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path}),
            );
        }
        lines.push((who, paths));
    }
    let count = causes.len();
    let plural = if count == 1 { "" } else { "s" };
    let list = match lines.as_slice() {
        [(who, paths)] if paths.len() == 1 => format!("conflict with {who}: {}", paths[0]),
        _ => {
            let block = |(who, paths): &(String, Vec<String>)| {
                let paths: Vec<String> = paths.iter().map(|path| format!("- {path}")).collect();
                format!("conflicts with {who}:\n{}", paths.join("\n"))
            };
            lines.iter().map(block).collect::<Vec<_>>().join("\n")
        }
    };
    let message = format!("Apply failed with {count} conflict{plural}: {list}");
    ApiError {
        details: json!({"causes": causes}),
        ..ApiError::new(409, "Conflict", message)
    }
}

fn conflicting(manager: &Manager) -> String {
    let subresource = match manager.subresource {
        "" => String::new(),
        subresource => format!(" with subresource {subresource:?}"),
    };
    let version = if manager.applies {
        String::new()
    } else {
        format!(" using {}", manager.api_version)
    };
    format!("{:?}{subresource}{version}", manager.name)
}
