//! Writes that the server makes on its own, and those of odd subresources.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{FieldValidation, Part, WriteOptions, noop};
use crate::error::{ApiError, Result};
use crate::managed;
use crate::object;
use crate::resource::{ObjectKey, Resource};
use crate::state::State;

impl State {
    /// Adds one of the namespaces that every cluster has.
    pub(crate) fn add_namespace(&mut self, name: &str, now: Timestamp) {
        let Some(namespaces) = self.registry.built_in("", "Namespace").cloned() else {
            return;
        };
        let options = WriteOptions {
            now,
            manager: "kpr-apiserver".to_owned(),
            manager_is_named: true,
            dry_run: false,
            validation: FieldValidation::Strict,
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        if let Err(error) = self.create(&namespaces, "", namespace, &options) {
            tracing::error!(%error, name, "could not create a namespace");
        }
    }

    /// Writes a namespace anew, only to move the revision on.
    pub(crate) fn touch_namespace(&mut self, name: &str, now: Timestamp) {
        let Some(namespaces) = self.registry.built_in("", "Namespace").cloned() else {
            return;
        };
        let key = namespaces.key("", name);
        let Some(namespace) = self.store.get(&key) else { return };
        let mut namespace = (**namespace).clone();
        let annotations = object::map_mut(
            object::meta_mut(&mut namespace)
                .entry("annotations")
                .or_insert_with(|| json!({})),
        );
        annotations.insert("kpr.dev/touched".into(), now.to_string().into());
        self.store.put(&key, namespace);
    }

    /// Assigns a Pod to a node (`pods/binding`).
    pub(crate) fn bind_pod(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        node: &str,
        options: &WriteOptions,
    ) -> Result<()> {
        let live = self.live(resource, key)?;
        let bound = object::text(&live, &["spec", "nodeName"]);
        if !bound.is_empty() {
            let why = format!("pod {} is already assigned to node \"{bound}\"", key.name);
            return Err(ApiError::conflict(resource.about(&key.name), &why));
        }
        let mut pod = (*live).clone();
        object::child_mut(&mut pod, "spec").insert("nodeName".into(), node.into());
        managed::track(resource, Some(&live), &mut pod, Part::Main, options);
        if !options.dry_run && !noop::is_noop(&live, &pod) {
            self.store.put(key, scheduled(pod, options.now));
        }
        Ok(())
    }
}

/// The pod with the condition that a binding sets.
fn scheduled(mut pod: Value, now: Timestamp) -> Value {
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": object::time(now),
    });
    let status = object::child_mut(&mut pod, "status");
    if let Value::Array(conditions) = status.entry("conditions").or_insert_with(|| json!([])) {
        conditions.retain(|one| one["type"] != "PodScheduled");
        conditions.push(condition);
    }
    pod
}
