//! What follows a write: dependents, the contents of namespaces and CRDs, the registry of custom resources.
//!
//! The real server leaves this to controllers; here it happens in the same critical section, so it is never late.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::delete::{FOREGROUND, ORPHAN};
use super::{DeleteOptions, Propagation};
use crate::kinds::crd;
use crate::object;
use crate::resource::{GroupResource, ObjectKey};
use crate::state::State;

impl State {
    /// Consequences of an object that was written and is still there.
    pub(super) fn after_write(&mut self, key: &ObjectKey, now: Timestamp) {
        if is_crd(key) {
            self.register_crd(key);
        }
        if let Some(object) = self.store.get(key).cloned() {
            self.collect(key, &object, now);
        }
        if let Some(object) = self
            .store
            .get(key)
            .cloned()
            .filter(|object| object::is_terminating(object))
        {
            self.continue_delete(key, &object, now);
        }
    }

    /// Removes the object at once; its dependents and containers follow.
    pub(super) fn remove_now(&mut self, key: &ObjectKey, last: Value, now: Timestamp) -> Arc<Value> {
        let Some(removed) = self.store.remove(key, last.clone()) else {
            return Arc::new(last);
        };
        if is_crd(key) {
            self.registry.remove_custom(&key.name);
        }
        for dependent in self.store.dependents(object::uid(&removed)) {
            if let Some(object) = self.store.get(&dependent).cloned() {
                self.collect(&dependent, &object, now);
            }
        }
        for owner in object::owner_uids(&removed) {
            if let Some(owner) = self.store.key_of_uid(owner).cloned() {
                self.continue_if_terminating(&owner, now);
            }
        }
        if !key.namespace.is_empty() {
            let namespace = ObjectKey {
                resource: GroupResource::new("", "namespaces"),
                namespace: String::new(),
                name: key.namespace.clone(),
            };
            self.continue_if_terminating(&namespace, now);
        }
        let crd = ObjectKey {
            resource: GroupResource::new(crd::GROUP, "customresourcedefinitions"),
            namespace: String::new(),
            name: key.resource.to_string(),
        };
        self.continue_if_terminating(&crd, now);
        removed
    }

    /// Deletes the object if all its owners are gone; drops references to absent owners if one is left.
    fn collect(&mut self, key: &ObjectKey, object: &Arc<Value>, now: Timestamp) {
        let owners = object::list(object, &["metadata", "ownerReferences"]);
        let exists = |owner: &&Value| self.store.has_uid(object::text(owner, &["uid"]));
        let present: Vec<Value> = owners.iter().filter(exists).cloned().collect();
        if owners.is_empty() || present.len() == owners.len() {
            return;
        }
        if present.is_empty() {
            if !object::is_terminating(object) {
                self.begin_delete(key, object, &DeleteOptions::default(), now);
            }
            return;
        }
        let mut kept = (**object).clone();
        object::meta_mut(&mut kept).insert("ownerReferences".into(), Value::Array(present));
        self.store.put(key, kept);
    }

    fn continue_if_terminating(&mut self, key: &ObjectKey, now: Timestamp) {
        if let Some(object) = self
            .store
            .get(key)
            .cloned()
            .filter(|object| object::is_terminating(object))
        {
            self.continue_delete(key, &object, now);
        }
    }

    /// Takes the next steps of a deletion that something holds.
    pub(super) fn continue_delete(&mut self, key: &ObjectKey, object: &Arc<Value>, now: Timestamp) {
        let finalizers = object::finalizers(object);
        let uid = object::uid(object);
        if finalizers.contains(&ORPHAN) {
            self.orphan_dependents(uid);
            self.drop_finalizer(key, ORPHAN, now);
            return;
        }
        if finalizers.contains(&FOREGROUND) {
            self.delete_dependents(uid, now);
            let blocking = |key: &ObjectKey| {
                let owners = self
                    .store
                    .get(key)
                    .map(|o| object::list(o, &["metadata", "ownerReferences"]).to_vec());
                owners
                    .into_iter()
                    .flatten()
                    .any(|o| o["uid"] == uid && o["blockOwnerDeletion"] == true)
            };
            if !self.store.dependents(uid).iter().any(blocking) {
                self.drop_finalizer(key, FOREGROUND, now);
            }
            return;
        }
        self.delete_contents(key, now);
        let Some(object) = self.store.get(key).cloned() else {
            return;
        };
        let graceful = object::at(&object, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
        if object::finalizers(&object).is_empty() && graceful.unwrap_or_default() == 0 && !self.has_contents(key) {
            self.remove_now(key, (*object).clone(), now);
        }
    }

    fn orphan_dependents(&mut self, uid: &str) {
        for dependent in self.store.dependents(uid) {
            let Some(object) = self.store.get(&dependent) else {
                continue;
            };
            let mut kept = (**object).clone();
            if let Some(Value::Array(owners)) = kept.pointer_mut("/metadata/ownerReferences") {
                owners.retain(|owner| owner["uid"] != uid);
                if owners.is_empty() {
                    object::meta_mut(&mut kept).remove("ownerReferences");
                }
            }
            self.store.put(&dependent, kept);
        }
    }

    fn delete_dependents(&mut self, uid: &str, now: Timestamp) {
        let options = DeleteOptions {
            propagation: Propagation::Foreground,
            ..DeleteOptions::default()
        };
        for dependent in self.store.dependents(uid) {
            let Some(object) = self.store.get(&dependent).cloned() else {
                continue;
            };
            let owners = object::owner_uids(&object)
                .filter(|owner| *owner != uid && self.store.has_uid(owner))
                .count();
            if owners == 0 && !object::is_terminating(&object) {
                self.begin_delete(&dependent, &object, &options, now);
            }
        }
    }

    fn drop_finalizer(&mut self, key: &ObjectKey, finalizer: &str, now: Timestamp) {
        let Some(object) = self.store.get(key) else { return };
        let mut object = (**object).clone();
        if let Some(Value::Array(finalizers)) = object.pointer_mut("/metadata/finalizers") {
            finalizers.retain(|one| one != finalizer);
            if finalizers.is_empty() {
                object::meta_mut(&mut object).remove("finalizers");
            }
        }
        let object = self.store.put(key, object);
        self.continue_delete(key, &object, now);
    }

    /// Whether the object holds others: a namespace its objects, a CRD its instances.
    pub(super) fn has_contents(&self, key: &ObjectKey) -> bool {
        self.contents(key).next().is_some()
    }

    fn contents<'a>(&'a self, key: &'a ObjectKey) -> Box<dyn Iterator<Item = ObjectKey> + 'a> {
        if key.resource.group.is_empty() && key.resource.resource == "namespaces" {
            return Box::new(
                self.store
                    .everything()
                    .map(|(one, _)| one)
                    .filter(|one| one.namespace == key.name),
            );
        }
        if is_crd(key) {
            return Box::new(
                self.store
                    .everything()
                    .map(|(one, _)| one)
                    .filter(|one| one.resource.to_string() == key.name),
            );
        }
        Box::new(std::iter::empty())
    }

    fn delete_contents(&mut self, key: &ObjectKey, now: Timestamp) {
        let contents: Vec<ObjectKey> = self.contents(key).collect();
        if contents.is_empty() {
            return;
        }
        if key.resource.resource == "namespaces" {
            self.set_namespace_terminating(key);
        }
        for one in contents {
            if let Some(object) = self
                .store
                .get(&one)
                .cloned()
                .filter(|object| !object::is_terminating(object))
            {
                self.begin_delete(&one, &object, &DeleteOptions::default(), now);
            }
        }
    }

    fn set_namespace_terminating(&mut self, key: &ObjectKey) {
        let Some(namespace) = self.store.get(key) else { return };
        if object::text(namespace, &["status", "phase"]) != "Terminating" {
            let mut namespace = (**namespace).clone();
            object::child_mut(&mut namespace, "status").insert("phase".into(), json!("Terminating"));
            self.store.put(key, namespace);
        }
    }

    fn register_crd(&mut self, key: &ObjectKey) {
        let Some(crd) = self.store.get(key) else { return };
        // What does not parse was refused when it was written.
        if let Ok(served) = crate::resource::custom::resources(crd) {
            self.registry.set_custom(&key.name, served);
        }
    }
}

fn is_crd(key: &ObjectKey) -> bool {
    key.resource.group == crd::GROUP && key.resource.resource == "customresourcedefinitions"
}
