//! DELETE, finalizers and the three ways to treat dependents.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::object;
use crate::resource::{ObjectKey, Resource};
use crate::state::State;

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// `propagationPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Propagation {
    /// Dependents go after the owner.
    #[default]
    Background,
    /// The owner goes after its blocking dependents.
    Foreground,
    /// Dependents stay and lose the reference.
    Orphan,
}

/// `DeleteOptions` of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) propagation: Propagation,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

/// How far a deletion got.
#[derive(Debug, Clone)]
pub(crate) enum Deletion {
    /// The object is gone.
    Done(Arc<Value>),
    /// Finalizers or a grace period hold it.
    Pending(Arc<Value>),
}

impl State {
    /// Deletes the object at `key`, or marks it for deletion.
    pub(crate) fn delete(
        &mut self,
        resource: &Resource,
        key: &ObjectKey,
        options: &DeleteOptions,
        now: Timestamp,
    ) -> Result<Deletion> {
        let live = self.live(resource, key)?;
        check_preconditions(resource, key, &live, options)?;
        if resource.is("", "Namespace") && matches!(key.name.as_str(), "default" | "kube-system" | "kube-public") {
            return Err(ApiError::forbidden(
                resource.about(&key.name),
                "this namespace may not be deleted",
            ));
        }
        if options.dry_run {
            return Ok(Deletion::Done(live));
        }
        Ok(self.begin_delete(key, &live, options, now))
    }

    /// Marks or removes; also the way of the garbage collector.
    pub(super) fn begin_delete(
        &mut self,
        key: &ObjectKey,
        live: &Arc<Value>,
        options: &DeleteOptions,
        now: Timestamp,
    ) -> Deletion {
        let grace = grace(key, live, options);
        let mut object = (**live).clone();
        let already = object::is_terminating(live);
        let holds = self.add_holds(key, &mut object, options.propagation);
        if !already && !holds && !has_grace(key) && object::finalizers(&object).is_empty() {
            // Nothing waits for it: it goes as it is.
            return Deletion::Done(self.remove_now(key, object, now));
        }
        if !already {
            mark(&mut object, grace, now);
        } else if grace < grace_of(live) {
            let meta = object::meta_mut(&mut object);
            meta.insert("deletionGracePeriodSeconds".into(), json!(grace));
            meta.insert(
                "deletionTimestamp".into(),
                object::time(now + SignedDuration::from_secs(grace)).into(),
            );
        }
        if !holds && grace == 0 && object::finalizers(&object).is_empty() {
            return Deletion::Done(self.remove_now(key, object, now));
        }
        let pending = if object == **live {
            live.clone()
        } else {
            self.store.put(key, object)
        };
        self.continue_delete(key, &pending, now);
        match self.store.get(key) {
            Some(object) => Deletion::Pending(object.clone()),
            None => Deletion::Done(pending),
        }
    }

    /// Adds what must happen before the object may go. Says whether something must that is no finalizer.
    fn add_holds(&self, key: &ObjectKey, object: &mut Value, propagation: Propagation) -> bool {
        let finalizer = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(FOREGROUND),
            Propagation::Orphan => Some(ORPHAN),
        };
        let uid = object::uid(object).to_owned();
        if let Some(finalizer) = finalizer.filter(|_| !self.store.dependents(&uid).is_empty())
            && !object::finalizers(object).contains(&finalizer)
        {
            let list = object::meta_mut(object)
                .entry("finalizers")
                .or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(finalizer.into());
            }
        }
        self.has_contents(key)
    }
}

/// Whether objects of this kind are deleted with a grace period, be it none.
fn has_grace(key: &ObjectKey) -> bool {
    key.resource.group.is_empty() && key.resource.resource == "pods"
}

/// How long the object's own keeper (the kubelet) has to stop it, in seconds. Only running Pods have one.
fn grace(key: &ObjectKey, live: &Value, options: &DeleteOptions) -> i64 {
    if has_grace(key) {
        let finished = matches!(object::text(live, &["status", "phase"]), "Succeeded" | "Failed");
        if finished || object::text(live, &["spec", "nodeName"]).is_empty() {
            return 0;
        }
        let own = object::at(live, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
        return options.grace_seconds.or(own).unwrap_or(30).max(0);
    }
    0
}

fn grace_of(object: &Value) -> i64 {
    object::at(object, &["metadata", "deletionGracePeriodSeconds"])
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn mark(object: &mut Value, grace: i64, now: Timestamp) {
    let generation = object::at(object, &["metadata", "generation"]).and_then(Value::as_i64);
    let meta = object::meta_mut(object);
    let at = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    meta.insert("deletionTimestamp".into(), object::time(at).into());
    meta.insert("deletionGracePeriodSeconds".into(), json!(grace));
    if let Some(generation) = generation {
        meta.insert("generation".into(), json!(generation + 1));
    }
}

fn check_preconditions(resource: &Resource, key: &ObjectKey, live: &Value, options: &DeleteOptions) -> Result<()> {
    // Here, and nowhere else, the server names the kind and not the resource.
    let about = crate::error::About {
        resource: &resource.kind,
        ..resource.about(&key.name)
    };
    if let Some(uid) = &options.uid
        && uid != object::uid(live)
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            object::uid(live)
        );
        return Err(ApiError::conflict(about, &why));
    }
    let have = object::text(live, &["metadata", "resourceVersion"]);
    if let Some(version) = &options.resource_version
        && version != have
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({have}). \
             The object might have been modified"
        );
        return Err(ApiError::conflict(about, &why));
    }
    Ok(())
}
