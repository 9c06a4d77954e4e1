//! Source ranges by the id of the service that they belong to: what stands in the trie, and what of it nobody reads any
//! more.

use std::collections::{BTreeMap, BTreeSet};

use kpr_abi::Address;

use super::{AdmittedRange, Generation};
use crate::hash::{HashMap, HashSet};

/// First address and prefix length.
pub(super) type Prefix<A> = (A, u8);

/// The trie of one family.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A: Address> {
    by_id: HashMap<u32, BTreeSet<Prefix<A>>>,
    total: usize,
    /// Ids of published services that ask for their ranges.
    asked: HashSet<u32>,
    /// Ids with ranges that no published service asks for, and since when.
    unasked: BTreeMap<u32, Generation>,
    /// Those of them whose last readers are gone.
    unread: BTreeSet<u32>,
}

impl<A: Address> Ranges<A> {
    pub(super) fn new() -> Self {
        Self {
            by_id: HashMap::default(),
            total: 0,
            asked: HashSet::default(),
            unasked: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// Ranges in the trie.
    pub(super) fn len(&self) -> usize {
        self.total
    }

    /// Ranges of an id, in order.
    pub(super) fn of(&self, id: u32) -> impl Iterator<Item = Prefix<A>> {
        self.by_id.get(&id).into_iter().flatten().copied()
    }

    pub(super) fn contains(&self, id: u32, prefix: Prefix<A>) -> bool {
        self.by_id.get(&id).is_some_and(|ranges| ranges.contains(&prefix))
    }

    /// Every range, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = AdmittedRange<A>> {
        self.by_id.iter().flat_map(|(&service, ranges)| {
            let range = move |&(addr, bits): &_| AdmittedRange { service, addr, bits };
            ranges.iter().map(range)
        })
    }

    /// Whether any published service asks for ranges.
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether the published service of this id asks for its ranges.
    pub(super) fn is_asked_by(&self, id: u32) -> bool {
        self.asked.contains(&id)
    }

    /// Ids whose ranges can go, in order.
    pub(super) fn unread(&self) -> impl Iterator<Item = u32> {
        self.unread.iter().copied()
    }

    /// A range was written.
    pub(super) fn put(&mut self, range: AdmittedRange<A>, now: Generation) {
        let AdmittedRange { service, addr, bits } = range;
        if self.by_id.entry(service).or_default().insert((addr, bits)) {
            self.total += 1;
        }
        if !self.asked.contains(&service) {
            self.unread.remove(&service);
            self.unasked.insert(service, now);
        }
    }

    /// A range was deleted.
    pub(super) fn delete(&mut self, range: AdmittedRange<A>) {
        let AdmittedRange { service, addr, bits } = range;
        let Some(ranges) = self.by_id.get_mut(&service) else {
            return;
        };
        if ranges.remove(&(addr, bits)) {
            self.total -= 1;
        }
        if ranges.is_empty() {
            self.by_id.remove(&service);
            self.unasked.remove(&service);
            self.unread.remove(&service);
        }
    }

    /// A service was published that asks for its ranges.
    pub(super) fn ask(&mut self, id: u32) {
        self.asked.insert(id);
        self.unasked.remove(&id);
        self.unread.remove(&id);
    }

    /// A service was published that asks for no ranges, or it was deleted.
    pub(super) fn unask(&mut self, id: u32, now: Generation) {
        if self.asked.remove(&id) && self.by_id.contains_key(&id) {
            self.unasked.insert(id, now);
        }
    }

    /// Nobody reads what no service has asked for since `until` or before.
    pub(super) fn release(&mut self, until: Generation) {
        let unread: Vec<u32> = self
            .unasked
            .iter()
            .filter(|&(_, &since)| since <= until)
            .map(|(&id, _)| id)
            .collect();
        for id in unread {
            self.unasked.remove(&id);
            self.unread.insert(id);
        }
    }

    /// Whether ranges wait since `generation`, which is the last one, to be released.
    pub(super) fn waits_since(&self, generation: Generation) -> bool {
        self.unasked.values().any(|&since| since == generation)
    }
}
