//! POST.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{WriteOptions, Written, admit};
use crate::error::{ApiError, Result};
use crate::kinds;
use crate::managed;
use crate::object;
use crate::resource::{ObjectKey, Resource};
use crate::state::State;

impl State {
    /// Creates `object` in `namespace` (empty for cluster-scoped resources).
    pub(crate) fn create(
        &mut self,
        resource: &Resource,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Written> {
        let mut warnings = Vec::new();
        let mut object = admit::decode(resource, object, options, &mut warnings)?;
        let key = self.identify(resource, namespace, &mut object)?;
        if !object::text(&object, &["metadata", "resourceVersion"]).is_empty() {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        object::meta_mut(&mut object).remove("managedFields");
        managed::track(resource, None, &mut object, super::Part::Main, options);
        self.finish_create(resource, &key, object, options, warnings)
    }

    /// The part of a creation after decoding; server-side apply comes in here with its own managed fields.
    pub(super) fn finish_create(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        mut object: Value,
        options: &WriteOptions,
        warnings: Vec<String>,
    ) -> Result<Written> {
        self.check_namespace(resource, key)?;
        let meta = object::meta_mut(&mut object);
        for system in [
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "generation",
        ] {
            meta.remove(system);
        }
        meta.insert("uid".into(), object::new_uid().into());
        meta.insert("creationTimestamp".into(), object::time(options.now).into());
        if resource.counts_generation {
            meta.insert("generation".into(), json!(1));
        }
        if resource.has_status && !resource.is_builtin {
            object::map_mut(&mut object).remove("status");
            crate::schema::default::apply(&resource.schema, &mut object);
        }
        kinds::prepare_create(self, resource, &mut object, options.now)?;
        admit::validate_all(resource, &object, None)?;
        if self.store.get(key).is_some() {
            return Err(ApiError::already_exists(resource.about(&key.name)));
        }
        let stored = admit::to_storage(resource, object);
        if options.dry_run {
            return Ok(Written {
                object: Arc::new(stored),
                created: true,
                warnings,
            });
        }
        let object = self.store.put(key, stored);
        self.after_write(key, options.now);
        Ok(Written {
            object,
            created: true,
            warnings,
        })
    }

    /// Settles name and namespace of a new object.
    pub(super) fn identify(&self, resource: &Resource, namespace: &str, object: &mut Value) -> Result<ObjectKey> {
        let given = object::namespace(object).to_owned();
        let meta = object::meta_mut(object);
        if !resource.namespaced {
            meta.remove("namespace");
        } else if given.is_empty() {
            meta.insert("namespace".into(), namespace.into());
        } else if given != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let prefix = meta
            .get("generateName")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if object::name(object).is_empty() && !prefix.is_empty() {
            let kept: String = prefix.chars().take(58).collect();
            // A collision is as likely as on the real server, which gives up after a few tries too.
            let name = (0..8)
                .map(|_| format!("{kept}{}", object::name_suffix()))
                .find(|name| self.store.get(&resource.key(namespace, name)).is_none());
            if let Some(name) = name {
                object::meta_mut(object).insert("name".into(), name.into());
            }
        }
        let name = object::name(object).to_owned();
        Ok(resource.key(if resource.namespaced { namespace } else { "" }, &name))
    }

    fn check_namespace(&self, resource: &Resource, key: &ObjectKey) -> Result<()> {
        if !resource.namespaced {
            return Ok(());
        }
        let Some(namespaces) = self.registry.built_in("", "Namespace") else {
            return Ok(());
        };
        let namespace = self.live(namespaces, &namespaces.key("", &key.namespace))?;
        if object::is_terminating(&namespace) {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                key.namespace
            );
            return Err(ApiError::forbidden(resource.about(&key.name), &why));
        }
        Ok(())
    }
}
