//! PUT and PATCH: a new form of an existing object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Part, WriteOptions, Written, admit, noop};
use crate::error::{ApiError, Result};
use crate::field::FieldError;
use crate::kinds;
use crate::managed;
use crate::object;
use crate::resource::{ObjectKey, Resource};
use crate::state::State;

/// Whether a request must name the resourceVersion that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// PUT: as the resource's rules say.
    Put,
    /// PATCH: only if the patch sets it.
    Patch,
}

impl State {
    /// Replaces the `part` of the object at `key` by what `change` makes of it (in the version of `resource`).
    pub(crate) fn update(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        part: Part,
        precondition: Precondition,
        options: &WriteOptions,
        change: impl FnOnce(&Value) -> Result<Value>,
    ) -> Result<Written> {
        let live = self.live(resource, key)?;
        let old = resource.project(&live);
        let sent = change(&old)?;
        let mut warnings = Vec::new();
        let mut new = admit::decode(resource, sent, options, &mut warnings)?;
        check_identity(resource, key, &old, &mut new, precondition)?;
        keep_system_fields(&old, &mut new);
        keep_other_parts(resource, part, &old, &mut new);
        managed::track(resource, Some(&old), &mut new, part, options);
        self.finish_update(resource, key, part, &live, new, options, warnings)
    }

    /// The part of an update after decoding; server-side apply comes in here with its own managed fields.
    #[expect(clippy::too_many_arguments, reason = "the tail of a pipeline")]
    pub(super) fn finish_update(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        part: Part,
        live: &Arc<Value>,
        mut new: Value,
        options: &WriteOptions,
        warnings: Vec<String>,
    ) -> Result<Written> {
        let old = resource.project(live);
        kinds::prepare_update(self, resource, part, &mut new, &old, options.now)?;
        if resource.counts_generation && part != Part::Status && spec_differs(&old, &new) {
            let generation = object::at(&old, &["metadata", "generation"])
                .and_then(Value::as_i64)
                .unwrap_or_default();
            object::meta_mut(&mut new).insert("generation".into(), json!(generation + 1));
        }
        admit::validate_all(resource, &new, Some(&old))?;
        let stored = admit::to_storage(resource, new);
        if noop::is_noop(live, &stored) {
            return Ok(Written {
                object: live.clone(),
                created: false,
                warnings,
            });
        }
        if options.dry_run {
            return Ok(Written {
                object: Arc::new(stored),
                created: false,
                warnings,
            });
        }
        let object = if is_released(&stored) {
            // The last finalizer went: this write is the deletion. Watches see what was there before it.
            self.remove_now(key, (**live).clone(), options.now);
            Arc::new(stored)
        } else {
            let object = self.store.put(key, stored);
            self.after_write(key, options.now);
            object
        };
        Ok(Written {
            object,
            created: false,
            warnings,
        })
    }
}

/// A terminating object that nothing holds any more.
fn is_released(object: &Value) -> bool {
    object::is_terminating(object)
        && object::finalizers(object).is_empty()
        && object::at(object, &["metadata", "deletionGracePeriodSeconds"])
            .and_then(Value::as_i64)
            .unwrap_or_default()
            == 0
        && object::list(object, &["spec", "finalizers"]).is_empty()
}

fn check_identity(
    resource: &Resource,
    key: &ObjectKey,
    old: &Value,
    new: &mut Value,
    precondition: Precondition,
) -> Result<()> {
    let name = object::name(new).to_owned();
    if name.is_empty() {
        object::meta_mut(new).insert("name".into(), key.name.clone().into());
    } else if name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let namespace = object::namespace(new).to_owned();
    if resource.namespaced && !namespace.is_empty() && namespace != key.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let uid = object::uid(new);
    if !uid.is_empty() && uid != object::uid(old) {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
             UID in precondition: {uid}, UID in object meta: {}",
            key.name,
            object::uid(old)
        );
        return Err(ApiError::conflict(resource.about(&key.name), &why));
    }
    let asked = object::text(new, &["metadata", "resourceVersion"]);
    if asked.is_empty() || asked == "0" {
        if precondition == Precondition::Put && !resource.unconditional_update {
            let why = [FieldError::invalid(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            )];
            return Err(ApiError::invalid(&resource.group, &resource.kind, &key.name, &why));
        }
        return Ok(());
    }
    if asked.parse() != Ok(object::resource_version(old)) {
        return Err(ApiError::modified(resource.about(&key.name)));
    }
    Ok(())
}

/// What only the server sets.
fn keep_system_fields(old: &Value, new: &mut Value) {
    let kept = [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "namespace",
        "resourceVersion",
        "generateName",
        "selfLink",
    ];
    let meta = object::meta_mut(new);
    for field in kept {
        object::put(meta, field, old["metadata"].get(field).cloned());
    }
}

/// Each endpoint writes its own part of the object, and leaves the rest as it was.
pub(super) fn keep_other_parts(resource: &Resource, part: Part, old: &Value, new: &mut Value) {
    match part {
        Part::Main if resource.has_status => {
            object::put(object::map_mut(new), "status", old.get("status").cloned());
        }
        Part::Main | Part::Scale => {}
        Part::Status => {
            let mut kept = old.clone();
            object::put(object::map_mut(&mut kept), "status", new.get("status").cloned());
            let mut written = vec!["managedFields"];
            // These kinds' own endpoints leave out no more than the spec (`serviceStatusStrategy` and its like).
            if resource.is_builtin && matches!(&*resource.kind, "Service" | "Pod" | "Node") {
                written.extend(["labels", "annotations"]);
            }
            for field in written {
                object::put(object::meta_mut(&mut kept), field, new["metadata"].get(field).cloned());
            }
            *new = kept;
        }
    }
}

/// Whether anything beside metadata and status differs.
fn spec_differs(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        let map = object::map_mut(&mut rest);
        map.remove("metadata");
        map.remove("status");
        rest
    };
    rest(old) != rest(new)
}
