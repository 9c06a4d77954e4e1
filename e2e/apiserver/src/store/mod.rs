//! Objects under one global revision, and the log of how they changed.

mod index;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;
use crate::resource::{GroupResource, ObjectKey};
use index::Index;
pub(crate) use log::{Change, ChangeKind, Log};

/// Objects of one resource, by (namespace, name): the order in which lists show them.
pub(crate) type Objects = BTreeMap<(String, String), Arc<Value>>;

/// The state of the cluster. Every write gets the next revision; nothing else does.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    objects: BTreeMap<GroupResource, Objects>,
    index: Index,
    log: Log,
}

impl Store {
    /// An empty store whose log keeps the last `log_capacity` changes.
    pub(crate) fn new(log_capacity: usize) -> Self {
        Self {
            revision: 1,
            objects: BTreeMap::new(),
            index: Index::default(),
            log: Log::new(log_capacity),
        }
    }

    /// The revision of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Forgets the history up to now.
    pub(crate) fn compact(&mut self) {
        self.log.compact(self.revision);
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<Value>> {
        self.objects
            .get(&key.resource)?
            .get(&(key.namespace.clone(), key.name.clone()))
    }

    /// All objects of a resource.
    pub(crate) fn objects(&self, resource: &GroupResource) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.get(resource).into_iter().flat_map(BTreeMap::values)
    }

    /// Every object of every resource.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (ObjectKey, &Arc<Value>)> {
        self.objects.iter().flat_map(|(resource, objects)| {
            objects.iter().map(|((namespace, name), object)| {
                let key = ObjectKey {
                    resource: resource.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                (key, object)
            })
        })
    }

    /// The objects of a resource as they were at `revision`; `None` if that history is gone.
    pub(crate) fn snapshot(&self, resource: &GroupResource, revision: u64) -> Option<Objects> {
        let mut objects = self.objects.get(resource).cloned().unwrap_or_default();
        for change in self
            .log
            .since(revision)?
            .rev()
            .filter(|change| change.key.resource == *resource)
        {
            let at = (change.key.namespace.clone(), change.key.name.clone());
            match &change.before {
                Some(before) => objects.insert(at, before.clone()),
                None => objects.remove(&at),
            };
        }
        Some(objects)
    }

    /// Writes `object` under `key` with the next revision, and returns it as stored.
    pub(crate) fn put(&mut self, key: &ObjectKey, mut object: Value) -> Arc<Value> {
        self.stamp(&mut object);
        let object = Arc::new(object);
        let before = self
            .objects
            .entry(key.resource.clone())
            .or_default()
            .insert((key.namespace.clone(), key.name.clone()), object.clone());
        if let Some(before) = &before {
            self.index.remove(key, before);
        }
        self.index.insert(key, &object);
        let kind = if before.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.log.push(Change {
            revision: self.revision,
            key: key.clone(),
            kind,
            object: object.clone(),
            before,
        });
        object
    }

    /// Removes the object under `key`. Watchers see `last` (with the revision of the removal), and so does the caller.
    pub(crate) fn remove(&mut self, key: &ObjectKey, mut last: Value) -> Option<Arc<Value>> {
        let before = self
            .objects
            .get_mut(&key.resource)?
            .remove(&(key.namespace.clone(), key.name.clone()))?;
        self.index.remove(key, &before);
        self.stamp(&mut last);
        let last = Arc::new(last);
        self.log.push(Change {
            revision: self.revision,
            key: key.clone(),
            kind: ChangeKind::Deleted,
            object: last.clone(),
            before: Some(before),
        });
        Some(last)
    }

    /// Whether an object with this uid exists.
    pub(crate) fn has_uid(&self, uid: &str) -> bool {
        self.index.has_uid(uid)
    }

    /// The key of the object with this uid.
    pub(crate) fn key_of_uid(&self, uid: &str) -> Option<&ObjectKey> {
        self.index.key_of(uid)
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<ObjectKey> {
        self.index.dependents(uid)
    }

    fn stamp(&mut self, object: &mut Value) {
        self.revision += 1;
        object::meta_mut(object).insert("resourceVersion".into(), json!(self.revision.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            resource: GroupResource::new("", "configmaps"),
            namespace: "default".into(),
            name: name.into(),
        }
    }

    fn config_map(name: &str, value: u32) -> Value {
        json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value.to_string()}})
    }

    #[test]
    fn a_snapshot_shows_the_objects_of_an_earlier_revision() {
        let mut store = Store::new(100);
        store.put(&key("a"), config_map("a", 1));
        store.put(&key("b"), config_map("b", 1));
        let then = store.revision();
        store.put(&key("a"), config_map("a", 2));
        store.remove(&key("b"), config_map("b", 1));
        store.put(&key("c"), config_map("c", 1));

        let snapshot = store.snapshot(&key("a").resource, then).unwrap();
        let seen: Vec<_> = snapshot
            .values()
            .map(|o| (object::name(o).to_owned(), o["data"]["v"].clone()))
            .collect();
        assert_eq!(seen, [("a".to_owned(), json!("1")), ("b".to_owned(), json!("1"))]);
    }

    #[test]
    fn history_beyond_the_capacity_of_the_log_is_gone() {
        let mut store = Store::new(2);
        let start = store.revision();
        for n in 0..3 {
            store.put(&key("a"), config_map("a", n));
        }
        assert!(store.snapshot(&key("a").resource, start).is_none());
        assert!(store.snapshot(&key("a").resource, store.revision() - 2).is_some());
    }
}
