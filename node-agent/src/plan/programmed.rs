//! What the maps of one family hold.

use std::{collections::BTreeMap, fmt};

use kpr_abi::{BackendValue, Family, ServiceKey, ServiceValue, Slice, service::flags};

use super::{
    AdmittedRange, Generation, Limits, Op, SlotRun, backends::Backends, ranges::Ranges, runs::Runs, slot_run::List,
};
use crate::{
    hash::{HashMap, HashSet},
    maglev::Member,
};

/// A mirror of the maps of family `F`. It advances only by ops that were carried out.
#[derive(Clone, Debug)]
pub struct Programmed<F: Family> {
    pub(super) limits: Limits,
    pub(super) services: HashMap<ServiceKey<F::Addr>, Entry>,
    /// How many of them each protocol has.
    by_protocol: BTreeMap<u8, usize>,
    pub(super) service_ids: HashSet<u32>,
    /// Service ports, by their affinity group, with how many frontends lead nowhere else than to endpoints of this node, of which there are
    /// none: by internal and by external traffic policy.
    without_local: [HashMap<u32, usize>; 2],
    /// The id that was given last.
    pub(super) last_service_id: u32,
    pub(super) runs: Runs,
    pub(super) backends: Backends<F::Addr>,
    pub(super) ranges: Ranges<F::Addr>,
    pub(super) now: Generation,
}

/// A service as it stands in the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) value: ServiceValue,
    /// Its id, unless another service has the same one.
    pub(super) id: Option<u32>,
    /// Bases of the runs that it leads to.
    pub(super) cluster: Option<u32>,
    pub(super) local: Option<u32>,
    /// What it leads to can be trusted; else it must be written anew.
    pub(super) intact: bool,
}

/// How full the maps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Entries of the service map.
    pub services: u32,
    /// Slots that are in use or wait for their last readers.
    pub slots: u32,
    /// Backends that are in use or wait to be cleared.
    pub backends: u32,
    /// Source ranges that are in use or wait to be deleted.
    pub source_ranges: u32,
}

/// How many Service ports have endpoints, but none on this node, and clients who may only be led to those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithoutLocal {
    /// By `internalTrafficPolicy`.
    pub internal: usize,
    /// By `externalTrafficPolicy`.
    pub external: usize,
}

/// How tables differ from what was written to them, in numbers of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Written, and not there.
    pub missing: usize,
    /// There, and lead to something else than what was written.
    pub changed: usize,
    /// There, and never written.
    pub foreign: usize,
}

impl Difference {
    /// Everything is as it was written.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            missing,
            changed,
            foreign,
        } = self;
        write!(f, "{missing} were missing, {changed} changed, {foreign} not kpr's")
    }
}

impl<F: Family> Programmed<F> {
    /// Empty maps.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            services: HashMap::default(),
            by_protocol: BTreeMap::new(),
            service_ids: HashSet::default(),
            without_local: [HashMap::default(), HashMap::default()],
            last_service_id: 0,
            runs: Runs::new(limits.slots),
            backends: Backends::new(limits.backends),
            ranges: Ranges::new(),
            now: Generation::default(),
        }
    }

    /// Sizes of the maps.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// How full the maps are.
    pub fn usage(&self) -> Usage {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Usage {
            services: count(self.services.len()),
            slots: self.limits.slots - self.runs.room().total(),
            backends: count(self.backends.len()),
            source_ranges: count(self.ranges.len()),
        }
    }

    /// Every service in the map, in no order.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceKey<F::Addr>, &ServiceValue)> {
        self.services.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// Whether a service in the map is of this protocol.
    pub fn has(&self, protocol: u8) -> bool {
        self.by_protocol.contains_key(&protocol)
    }

    /// How many Service ports have endpoints on other nodes alone, and clients who may only be led to those of this one.
    pub fn without_local(&self) -> WithoutLocal {
        let [internal, external] = self.without_local.each_ref().map(HashMap::len);
        WithoutLocal { internal, external }
    }

    /// A service.
    pub fn service(&self, key: &ServiceKey<F::Addr>) -> Option<&ServiceValue> {
        self.services.get(key).map(|entry| &entry.value)
    }

    /// Ids of the backends that a service's slice leads to, without those of its Maglev table, which are the same; none if the slice is
    /// not one that was written whole.
    pub fn slots(&self, slice: Slice) -> &[u32] {
        let run = self
            .runs
            .at(slice.base)
            .filter(|run| run.list.ids.len() == slice.len as usize);
        run.map_or(&[][..], |run| &run.list.ids)
    }

    /// Every backend, in no order; also those that wait to be cleared.
    pub fn backends(&self) -> impl Iterator<Item = (u32, &BackendValue<F::Addr>)> {
        self.backends.iter()
    }

    /// A backend.
    pub fn backend(&self, id: u32) -> Option<&BackendValue<F::Addr>> {
        self.backends.get(id)
    }

    /// Every source range, in no order; also those that wait to be deleted.
    pub fn source_ranges(&self) -> impl Iterator<Item = AdmittedRange<F::Addr>> {
        self.ranges.iter()
    }

    /// Whether a service in the map asks for source ranges.
    pub fn has_source_ranges(&self) -> bool {
        self.ranges.is_asked()
    }

    /// Whether the tables hold what was written to them, read back as for [`restore`](super::Planner::restore): every service with
    /// its slots and backends. Nothing else than that there is no [`difference`](Self::difference), without a second copy of everything.
    pub fn is_found_in(
        &self,
        services: &[(ServiceKey<F::Addr>, ServiceValue)],
        slots: &[u32],
        backends: &BTreeMap<u32, BackendValue<F::Addr>>,
        source_ranges: &[AdmittedRange<F::Addr>],
    ) -> bool {
        let mut runs = HashSet::default();
        for (key, value) in services {
            let Some(entry) = self
                .services
                .get(key)
                .filter(|entry| entry.intact && entry.value == *value)
            else {
                return false;
            };
            runs.extend(entry.runs());
        }
        let is_run = |base: u32| {
            let Some(run) = self.runs.at(base) else { return false };
            let found = slots
                .get(base as usize..)
                .and_then(|slots| slots.get(..run.list.slots() as usize));
            let known = |id: &u32| {
                self.backend(*id)
                    .is_some_and(|backend| backends.get(id) == Some(backend))
            };
            found.is_some_and(|found| self.is_written(&run.list, found)) && run.list.ids.iter().all(known)
        };
        let asked = |range: &&AdmittedRange<F::Addr>| self.ranges.is_asked_by(range.service);
        let admitted = |range: &AdmittedRange<F::Addr>| self.ranges.contains(range.service, (range.addr, range.bits));
        services.len() == self.services.len()
            && runs.into_iter().all(is_run)
            && source_ranges.iter().filter(asked).all(admitted)
            && source_ranges.iter().filter(asked).count() == self.ranges.iter().filter(|range| asked(&range)).count()
    }

    /// Whether the slots hold the list, and behind it its Maglev table, if it has one.
    pub(super) fn is_written(&self, list: &List, slots: &[u32]) -> bool {
        let Some(size) = list.table else {
            return *list.ids == *slots;
        };
        let backends = list.ids.iter().filter_map(|id| Some((*id, self.backends.get(*id)?)));
        let run = SlotRun::with_table(size, backends.map(|(id, value)| (id, Member::new::<F>(value))));
        *run.slots() == *slots
    }

    /// How `found`, read back from the tables, differs from this, which was written to them.
    pub fn difference(&self, found: &Self) -> Difference {
        let leads_elsewhere = |slice: Slice| {
            let ids = self.slots(slice);
            ids != found.slots(slice) || ids.iter().any(|&id| self.backend(id) != found.backend(id))
        };
        let admits_others = |value: &ServiceValue| {
            value.flags & flags::SOURCE_RANGES != 0 && !self.ranges.of(value.id).eq(found.ranges.of(value.id))
        };
        let mut difference = Difference::default();
        for (key, value) in self.services() {
            match found.service(key) {
                None => difference.missing += 1,
                Some(other) if other != value => difference.changed += 1,
                Some(_) if leads_elsewhere(value.cluster) || leads_elsewhere(value.local) => difference.changed += 1,
                Some(_) if admits_others(value) => difference.changed += 1,
                Some(_) => {}
            }
        }
        difference.foreign = found.services().filter(|(key, _)| self.service(key).is_none()).count();
        difference
    }

    /// An op was carried out.
    pub(super) fn record(&mut self, op: &Op<F>) {
        match op {
            Op::PutBackend { id, value } => self.backends.put(*id, *value),
            Op::ClearBackend { id } => self.backends.clear(*id),
            Op::PutSlots { base, run } => {
                let list = run.content();
                if self.runs.at(*base).is_some_and(|run| run.list == *list) {
                    return;
                }
                self.backends.hold(&list.ids);
                self.runs.insert(*base, list.clone(), self.now);
            }
            Op::PutRange { range } => self.ranges.put(*range, self.now),
            Op::DeleteRange { range } => self.ranges.delete(*range),
            Op::PutService { key, value } => {
                let run = |slice: Slice| (slice.len > 0).then_some(slice.base);
                let entry = Entry {
                    value: *value,
                    id: Some(value.id),
                    cluster: run(value.cluster),
                    local: run(value.local),
                    intact: true,
                };
                entry.runs().for_each(|base| self.hold(base));
                let old = self.insert(*key, entry);
                if old.is_none_or(|old| old.id != Some(value.id)) {
                    self.last_service_id = value.id;
                }
                self.drop_entry(old);
                self.service_ids.insert(value.id);
                if value.flags & flags::SOURCE_RANGES != 0 {
                    self.ranges.ask(value.id);
                }
            }
            Op::DeleteService { key } => {
                let old = self.services.remove(key);
                if let Some(old) = &old {
                    self.count_without_local(&old.value, false);
                }
                if old.is_some()
                    && let Some(count) = self.by_protocol.get_mut(&key.proto)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.by_protocol.remove(&key.proto);
                    }
                }
                self.drop_entry(old);
            }
        }
    }

    /// Enters a service, and returns what was there before.
    pub(super) fn insert(&mut self, key: ServiceKey<F::Addr>, entry: Entry) -> Option<Entry> {
        let old = self.services.insert(key, entry);
        match &old {
            Some(old) => self.count_without_local(&old.value, false),
            None => *self.by_protocol.entry(key.proto).or_default() += 1,
        }
        self.count_without_local(&entry.value, true);
        old
    }

    fn count_without_local(&mut self, value: &ServiceValue, is_there: bool) {
        if value.local.len != 0 || value.flags & flags::HAS_ENDPOINTS == 0 {
            return;
        }
        for (policy, counts) in [flags::INTERNAL_LOCAL, flags::EXTERNAL_LOCAL]
            .into_iter()
            .zip(&mut self.without_local)
        {
            if value.flags & policy == 0 {
                continue;
            }
            let frontends = counts.entry(value.affinity_group).or_default();
            *frontends = if is_there {
                *frontends + 1
            } else {
                frontends.saturating_sub(1)
            };
            if *frontends == 0 {
                counts.remove(&value.affinity_group);
            }
        }
    }

    /// Makes free what nothing has led to since `until` or before.
    pub(super) fn release(&mut self, until: Generation) {
        for ids in self.runs.release(until) {
            self.backends.unhold(&ids);
        }
        self.ranges.release(until);
    }

    /// A service leads to the run.
    pub(super) fn hold(&mut self, base: u32) {
        if let Some(ids) = self.runs.hold(base) {
            self.backends.serve(&ids);
        }
    }

    fn unhold(&mut self, base: u32) {
        if let Some(ids) = self.runs.unhold(base, self.now) {
            self.backends.unserve(&ids);
        }
    }

    fn drop_entry(&mut self, old: Option<Entry>) {
        if let Some(old) = old {
            old.runs().for_each(|base| self.unhold(base));
            if let Some(id) = old.id {
                self.service_ids.remove(&id);
                self.ranges.unask(id, self.now);
            }
        }
    }
}

impl Entry {
    fn runs(&self) -> impl Iterator<Item = u32> {
        self.cluster.into_iter().chain(self.local)
    }
}
