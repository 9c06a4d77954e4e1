//! Maps of one family, as the kernel has them, and programs that read them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Debug,
};

use kpr_abi::{Address, BackendValue, ServiceKey, ServiceValue, Slice, maglev, service::flags};

use super::fixtures::Numbered;
use crate::{
    maglev::{Member, fill},
    model::{Backend, DesiredService, Frontend},
    plan::{AdmittedRange, Limits, Op, Programmed},
};

/// Addresses that a service leads to: under policy `Cluster`, and under `Local`.
pub(super) type Answer<F> = (Vec<<F as kpr_abi::Family>::Ip>, Vec<<F as kpr_abi::Family>::Ip>);

#[derive(Clone)]
pub(super) struct Maps<F: Numbered> {
    pub(super) services: HashMap<ServiceKey<F::Addr>, ServiceValue>,
    pub(super) slots: Vec<u32>,
    pub(super) backends: Vec<BackendValue<F::Addr>>,
    pub(super) ranges: BTreeSet<AdmittedRange<F::Addr>>,
    limits: Limits,
    readers: Vec<Reader<F>>,
    time: u64,
}

/// Where clients are: no two are in the same source ranges.
pub(super) const CLIENTS: [u8; 3] = [1, 2, 3];

/// A program that has looked a service up and is about to choose a backend.
#[derive(Clone, Debug)]
struct Reader<F: Numbered> {
    key: ServiceKey<F::Addr>,
    value: ServiceValue,
    expects: Answer<F>,
    /// Which of [`CLIENTS`] it lets in.
    admitted: [bool; 3],
    since: u64,
}

impl<F: Numbered> Maps<F> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            services: HashMap::new(),
            slots: vec![0; limits.slots as usize],
            backends: vec![BackendValue::default(); limits.backends as usize],
            ranges: BTreeSet::new(),
            limits,
            readers: Vec::new(),
            time: 0,
        }
    }

    /// Carries an op out, as the kernel would: an index outside, or one entry too many, is an error.
    pub(super) fn apply(&mut self, op: &Op<F>) {
        match op {
            Op::PutBackend { id, value } => {
                assert_ne!(*id, 0);
                self.backends[*id as usize] = *value;
            }
            Op::ClearBackend { id } => self.backends[*id as usize] = BackendValue::default(),
            Op::PutSlots { base, run } => {
                let ids = run.slots();
                assert!(!ids.is_empty());
                self.slots[*base as usize..][..ids.len()].copy_from_slice(&ids);
            }
            Op::PutRange { range } => {
                assert!(self.ranges.insert(*range), "EEXIST");
                assert!(self.ranges.len() <= self.limits.source_ranges as usize, "ENOSPC");
            }
            Op::DeleteRange { range } => assert!(self.ranges.remove(range), "ENOENT"),
            Op::PutService { key, value } => {
                self.services.insert(*key, *value);
                assert!(self.services.len() <= self.limits.services as usize, "E2BIG");
            }
            Op::DeleteService { key } => assert!(self.services.remove(key).is_some(), "ENOENT"),
        }
    }

    /// Ids of the backends that services lead to.
    pub(super) fn led_to(&self) -> BTreeSet<u32> {
        let slices = self.services.values().flat_map(|value| [value.cluster, value.local]);
        let ids = slices.flat_map(|slice| &self.slots[slice.base as usize..][..slice.len as usize]);
        ids.copied().collect()
    }

    /// Whether a program with this value lets each of [`CLIENTS`] in.
    fn admitted(&self, value: &ServiceValue) -> [bool; 3] {
        CLIENTS.map(|net| {
            let is_in = |range: &AdmittedRange<F::Addr>| {
                range.service == value.id && range.addr == F::Addr::from(F::ip(net, 0))
            };
            value.flags & flags::SOURCE_RANGES == 0 || self.ranges.iter().any(is_in)
        })
    }

    /// Which of [`CLIENTS`] the service lets in; `None`: there is no such service.
    pub(super) fn admits(&self, key: &ServiceKey<F::Addr>) -> Option<[bool; 3]> {
        self.services.get(key).map(|value| self.admitted(value))
    }

    /// What a client of the service may be led to.
    pub(super) fn look_up(&self, key: &ServiceKey<F::Addr>) -> Option<Answer<F>> {
        self.services.get(key).map(|value| self.resolve(value))
    }

    fn resolve(&self, value: &ServiceValue) -> Answer<F> {
        let addrs = |slice: Slice| {
            let ids = &self.slots[slice.base as usize..][..slice.len as usize];
            assert!(
                ids.is_sorted_by(|a, b| a < b),
                "programs find a backend in a slice by halving it: {ids:?}"
            );
            let addr = |&id: &u32| {
                let backend = &self.backends[id as usize];
                assert_ne!(backend.proto, 0, "slot leads to backend {id}, which is cleared");
                backend.addr.into()
            };
            // Some of its slots: this is asked after every write.
            let table = self.table_of(value, slice).iter().step_by(16);
            assert!(
                table.clone().all(|id| ids.contains(id)),
                "{ids:?} have the table {table:?}"
            );
            sorted(ids.iter().map(addr))
        };
        (addrs(value.cluster), addrs(value.local))
    }

    /// The Maglev table behind a slice, if there is one.
    fn table_of(&self, value: &ServiceValue, slice: Slice) -> &[u32] {
        let table = maglev::table(value.flags, slice);
        &self.slots[table.base as usize..][..table.len as usize]
    }

    /// Asserts that the service has the Maglev table of these backends, if it is to have one, wherever and under whatever ids they are.
    fn assert_table(&self, value: &ServiceValue, slice: Slice, frontend: &Frontend<F>, backends: &[Backend<F>]) {
        let size = frontend.maglev.filter(|_| backends.len() > 1);
        let filled = size.map_or_else(Vec::new, |size| {
            let values: Vec<_> = backends.iter().rev().map(Backend::value).collect();
            let members: Vec<_> = values.iter().map(Member::new::<F>).collect();
            let table = fill(size, &members).into_iter();
            table.map(|member| values[member as usize]).collect()
        });
        let found = self.table_of(value, slice).iter().map(|&id| self.backends[id as usize]);
        assert!(found.eq(filled), "{:?}", frontend.key);
    }

    /// Every service is looked up now by a program that is in no hurry.
    pub(super) fn readers_start(&mut self) {
        self.time += 1;
        for (key, value) in &self.services {
            let admitted = self.admitted(value);
            let known = self.readers.iter_mut().find(|reader| reader.value == *value);
            match known {
                Some(reader) => {
                    reader.since = self.time;
                    reader.admitted = admitted;
                }
                None => self.readers.push(Reader {
                    key: *key,
                    value: *value,
                    expects: self.resolve(value),
                    admitted,
                    since: self.time,
                }),
            }
        }
    }

    /// Programs that have looked a service up still find what the service led to then. They let in whom they would have let
    /// in a write ago, or whom the service lets in now.
    pub(super) fn check_readers(&mut self) {
        let mut readers = std::mem::take(&mut self.readers);
        for reader in &mut readers {
            assert_eq!(self.resolve(&reader.value), reader.expects, "{reader:?}");
            let now = self.admits(&reader.key).unwrap_or(reader.admitted);
            let by_reader = self.admitted(&reader.value);
            for ((by_reader, before), now) in by_reader.into_iter().zip(reader.admitted).zip(now) {
                assert!(by_reader == before || by_reader == now, "{reader:?}");
            }
            reader.admitted = by_reader;
        }
        self.readers = readers;
    }

    pub(super) fn now(&self) -> u64 {
        self.time
    }

    /// A grace period that began at `then` is over.
    pub(super) fn readers_end(&mut self, then: u64) {
        self.readers.retain(|reader| reader.since > then);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (ServiceKey<F::Addr>, ServiceValue)> {
        self.services.iter().map(|(&key, &value)| (key, value))
    }

    pub(super) fn table(&self) -> impl Iterator<Item = (u32, BackendValue<F::Addr>)> {
        (0..).zip(self.backends.iter().copied())
    }

    /// Whether whoever wrote this finds it as it was written.
    pub(super) fn is_as_written(&self, written: &Programmed<F>) -> bool {
        let services: Vec<_> = self.entries().collect();
        let backends = self.table().filter(|(_, value)| value.proto != 0).collect();
        let ranges: Vec<_> = self.ranges.iter().copied().collect();
        written.is_found_in(&services, &self.slots, &backends, &ranges)
    }
}

/// The order of backends in a slice is the programs' business.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items
}

/// What a frontend shall lead to.
pub(super) fn answer<F: Numbered>(frontend: &Frontend<F>) -> Answer<F> {
    let addrs = |backends: &[Backend<F>]| sorted(backends.iter().map(|backend| backend.addr));
    (addrs(&frontend.cluster), addrs(&frontend.local))
}

/// Which of [`CLIENTS`] a frontend shall let in.
pub(super) fn admitted<F: Numbered>(frontend: &Frontend<F>) -> [bool; 3] {
    let ranges = &frontend.source_ranges;
    CLIENTS.map(|net| ranges.is_empty() || ranges.iter().any(|range| range.network() == F::ip(net, 0).into()))
}

/// Asserts that the maps hold exactly what is desired.
pub(super) fn assert_holds<F: Numbered>(maps: &Maps<F>, desired: &[DesiredService<F>])
where
    ServiceKey<F::Addr>: Debug,
{
    let frontends: Vec<_> = desired.iter().flat_map(|service| &service.frontends).collect();
    assert_eq!(maps.services.len(), frontends.len());
    let backends: HashSet<_> = maps.backends.iter().collect();
    for frontend in frontends {
        let value = maps.services.get(&frontend.key).expect("published");
        assert_eq!(maps.look_up(&frontend.key), Some(answer(frontend)));
        assert_eq!(
            (value.flags, value.affinity_seconds),
            (frontend.flags(), frontend.affinity_seconds)
        );
        assert_eq!(maps.admits(&frontend.key), Some(admitted(frontend)));
        maps.assert_table(value, value.cluster, frontend, &frontend.cluster);
        maps.assert_table(value, value.local, frontend, &frontend.local);
        for backend in frontend.cluster.iter().chain(frontend.local.iter()) {
            assert!(backends.contains(&backend.value()), "flags of {backend:?}");
        }
        assert_eq!(
            frontend.key.addr == F::Addr::ANY,
            value.flags & kpr_abi::service::flags::NODE_PORT != 0
        );
    }
}
