//! Who has which uid, and who names whom as an owner.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::object;
use crate::resource::ObjectKey;

#[derive(Debug, Default)]
pub(super) struct Index {
    by_uid: HashMap<String, ObjectKey>,
    dependents: HashMap<String, BTreeSet<ObjectKey>>,
}

impl Index {
    pub(super) fn insert(&mut self, key: &ObjectKey, object: &Value) {
        self.by_uid.insert(object::uid(object).to_owned(), key.clone());
        for owner in object::owner_uids(object) {
            self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, object: &Value) {
        self.by_uid.remove(object::uid(object));
        for owner in object::owner_uids(object) {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    pub(super) fn has_uid(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    pub(super) fn key_of(&self, uid: &str) -> Option<&ObjectKey> {
        self.by_uid.get(uid)
    }

    pub(super) fn dependents(&self, uid: &str) -> Vec<ObjectKey> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }
}
