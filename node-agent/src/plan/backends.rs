//! Backends by id: what stands in the array, who leads to it, which ids are free.

use std::collections::BTreeSet;

use kpr_abi::{Address, BackendValue, backend::flags};

use super::{
    ids::Ids,
    op::{Identity, identity},
};
use crate::hash::HashMap;

/// The backend array of one family.
#[derive(Clone, Debug)]
pub(super) struct Backends<A: Address> {
    limit: u32,
    /// By id, as far as any was ever used: ids are given lowest first.
    entries: Vec<Entry<A>>,
    /// How many have a value.
    len: usize,
    by_identity: HashMap<Identity<A>, u32>,
    /// Ids with a value that no tracked run names.
    unused: BTreeSet<u32>,
    /// Ids that services led to and no longer do, and whose value does not say so.
    gone: BTreeSet<u32>,
    free: Ids,
}

#[derive(Clone, Debug)]
struct Entry<A> {
    value: Option<BackendValue<A>>,
    /// How often tracked runs of slots name it.
    holds: u32,
    /// How often runs that a service leads to do.
    served: u32,
}

impl<A: Address> Backends<A> {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            entries: Vec::new(),
            len: 0,
            by_identity: HashMap::default(),
            unused: BTreeSet::new(),
            gone: BTreeSet::new(),
            free: Ids::new(limit),
        }
    }

    /// Whether an id can be used: not 0, and inside the table.
    pub(super) fn is_valid(&self, id: u32) -> bool {
        id != 0 && id < self.limit
    }

    pub(super) fn get(&self, id: u32) -> Option<&BackendValue<A>> {
        self.entries.get(id as usize)?.value.as_ref()
    }

    pub(super) fn find(&self, identity: &Identity<A>) -> Option<u32> {
        self.by_identity.get(identity).copied()
    }

    /// A backend was written.
    pub(super) fn put(&mut self, id: u32, value: BackendValue<A>) {
        if !self.is_valid(id) {
            return;
        }
        if value.flags & flags::GONE != 0 {
            self.gone.remove(&id);
        }
        let entry = self.entry(id);
        let is_held = entry.holds > 0;
        match entry.value.replace(value) {
            Some(old) if identity(&old) != identity(&value) => self.forget(id, &old),
            Some(_) => {}
            None => self.len += 1,
        }
        // Two ids with one identity are possible in maps that someone else wrote: the lower one stands.
        let known = self.by_identity.entry(identity(&value)).or_insert(id);
        *known = id.min(*known);
        self.free.take(id);
        if !is_held {
            self.unused.insert(id);
        }
    }

    /// A backend was zeroed.
    pub(super) fn clear(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id as usize) else {
            return;
        };
        let is_held = entry.holds > 0;
        if let Some(old) = entry.value.take() {
            self.len -= 1;
            self.forget(id, &old);
            self.unused.remove(&id);
            self.gone.remove(&id);
            if !is_held {
                self.free.free(id);
            }
        }
    }

    /// A tracked run names the ids.
    pub(super) fn hold(&mut self, ids: &[u32]) {
        for &id in ids {
            if self.is_valid(id) {
                self.entry(id).holds += 1;
                self.unused.remove(&id);
                self.free.take(id);
            }
        }
    }

    /// A run that named the ids is free.
    pub(super) fn unhold(&mut self, ids: &[u32]) {
        for &id in ids {
            let entry = self.entries.get_mut(id as usize);
            let Some(entry) = entry.filter(|entry| entry.holds > 0) else {
                continue;
            };
            entry.holds -= 1;
            if entry.holds > 0 {
                continue;
            }
            if entry.value.is_some() {
                self.unused.insert(id);
            } else {
                self.free.free(id);
            }
        }
    }

    /// A service leads to a run that names the ids.
    pub(super) fn serve(&mut self, ids: &[u32]) {
        for &id in ids {
            if self.is_valid(id) {
                self.entry(id).served += 1;
                self.gone.remove(&id);
            }
        }
    }

    /// No service leads to the run any more.
    pub(super) fn unserve(&mut self, ids: &[u32]) {
        for &id in ids {
            let entry = self.entries.get_mut(id as usize);
            let Some(entry) = entry.filter(|entry| entry.served > 0) else {
                continue;
            };
            entry.served -= 1;
            if entry.served == 0 && entry.value.is_some() {
                self.gone.insert(id);
            }
        }
    }

    /// Backends that services led to and no longer do, as they are to be written: with that said. In order.
    pub(super) fn gone(&self) -> impl Iterator<Item = (u32, BackendValue<A>)> {
        self.gone.iter().filter_map(|&id| {
            let mut value = *self.get(id)?;
            value.flags |= flags::GONE;
            Some((id, value))
        })
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
        let entries = (0..).zip(&self.entries);
        entries.filter_map(|(id, entry)| Some((id, entry.value.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Of a valid id.
    fn entry(&mut self, id: u32) -> &mut Entry<A> {
        let place = id as usize;
        if place >= self.entries.len() {
            let none = Entry {
                value: None,
                holds: 0,
                served: 0,
            };
            self.entries.resize(place + 1, none);
        }
        &mut self.entries[place]
    }

    fn forget(&mut self, id: u32, value: &BackendValue<A>) {
        if self.find(&identity(value)) == Some(id) {
            self.by_identity.remove(&identity(value));
        }
    }
}
