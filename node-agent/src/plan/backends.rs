//! Backends by id: what stands in the array, who leads to it, which ids are free.

use std::collections::BTreeSet;

use kpr_abi::{Address, BackendValue};

use super::{
    ids::Ids,
    op::{Identity, identity},
};
use crate::hash::HashMap;

/// The backend array of one family.
#[derive(Clone, Debug)]
pub(super) struct Backends<A: Address> {
    limit: u32,
    values: HashMap<u32, BackendValue<A>>,
    by_identity: HashMap<Identity<A>, u32>,
    /// How often tracked runs of slots name an id.
    holds: HashMap<u32, u32>,
    /// Ids with a value that no tracked run names.
    unused: BTreeSet<u32>,
    free: Ids,
}

impl<A: Address> Backends<A> {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            values: HashMap::default(),
            by_identity: HashMap::default(),
            holds: HashMap::default(),
            unused: BTreeSet::new(),
            free: Ids::new(limit),
        }
    }

    /// Whether an id can be used: not 0, and inside the table.
    pub(super) fn is_valid(&self, id: u32) -> bool {
        id != 0 && id < self.limit
    }

    pub(super) fn get(&self, id: u32) -> Option<&BackendValue<A>> {
        self.values.get(&id)
    }

    pub(super) fn find(&self, identity: &Identity<A>) -> Option<u32> {
        self.by_identity.get(identity).copied()
    }

    /// A backend was written.
    pub(super) fn put(&mut self, id: u32, value: BackendValue<A>) {
        if !self.is_valid(id) {
            return;
        }
        if let Some(old) = self.values.insert(id, value)
            && identity(&old) != identity(&value)
        {
            self.forget(id, &old);
        }
        // Two ids with one identity are possible in maps that someone else wrote: the lower one stands.
        let known = self.by_identity.entry(identity(&value)).or_insert(id);
        *known = id.min(*known);
        self.free.take(id);
        if !self.holds.contains_key(&id) {
            self.unused.insert(id);
        }
    }

    /// A backend was zeroed.
    pub(super) fn clear(&mut self, id: u32) {
        if let Some(old) = self.values.remove(&id) {
            self.forget(id, &old);
            self.unused.remove(&id);
            if !self.holds.contains_key(&id) {
                self.free.free(id);
            }
        }
    }

    /// A tracked run names the ids.
    pub(super) fn hold(&mut self, ids: &[u32]) {
        for &id in ids {
            if self.is_valid(id) {
                *self.holds.entry(id).or_default() += 1;
                self.unused.remove(&id);
                self.free.take(id);
            }
        }
    }

    /// A run that named the ids is free.
    pub(super) fn unhold(&mut self, ids: &[u32]) {
        for &id in ids {
            let Some(holds) = self.holds.get_mut(&id) else {
                continue;
            };
            *holds -= 1;
            if *holds > 0 {
                continue;
            }
            self.holds.remove(&id);
            if self.values.contains_key(&id) {
                self.unused.insert(id);
            } else {
                self.free.free(id);
            }
        }
    }

    /// Ids with a value that no tracked run names, in order.
    pub(super) fn unused(&self) -> impl Iterator<Item = u32> {
        self.unused.iter().copied()
    }

    /// The lowest id from `from` on that can be written: free, or unused and not in `keep`.
    pub(super) fn writable(&self, from: u32, keep: &BTreeSet<u32>) -> Option<u32> {
        let unused = self.unused.range(from..).find(|id| !keep.contains(id)).copied();
        let free = self.free.at_least(from);
        unused.into_iter().chain(free).min()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &BackendValue<A>)> {
        self.values.iter().map(|(&id, value)| (id, value))
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    fn forget(&mut self, id: u32, value: &BackendValue<A>) {
        if self.find(&identity(value)) == Some(id) {
            self.by_identity.remove(&identity(value));
        }
    }
}
