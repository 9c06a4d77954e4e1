//! What the maps hold after a restart, read back and checked.

use std::collections::BTreeMap;

use kpr_abi::{BackendValue, Family, ServiceKey, ServiceValue, Slice, TableSize, maglev, service::flags};

use super::{AdmittedRange, Limits, Programmed, programmed::Entry, slot_run::List};
use crate::hash::HashMap;

/// Something in the maps that contradicts itself: another program wrote there, or a table was made smaller. The service
/// is written anew by the next plan, or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreProblem<F: Family> {
    /// A slice reaches beyond the slot table.
    #[error("service {key:?} leads to slots outside the table: {slice:?}")]
    SliceOutside {
        /// The service.
        key: ServiceKey<F::Addr>,
        /// The slice.
        slice: Slice,
    },
    /// A slice shares some, but not all, of its slots with another one.
    #[error("service {key:?} leads to slots that overlap with others: {slice:?}")]
    SliceOverlaps {
        /// The service.
        key: ServiceKey<F::Addr>,
        /// The slice.
        slice: Slice,
    },
    /// A slot names a backend that does not exist.
    #[error("service {key:?} leads to backend {id}, which does not exist")]
    NoBackend {
        /// The service.
        key: ServiceKey<F::Addr>,
        /// The backend's id.
        id: u32,
    },
    /// The Maglev table behind a slice is not the one of its backends.
    #[error("service {key:?} has a Maglev table that is not its backends': {slice:?}")]
    OtherTable {
        /// The service.
        key: ServiceKey<F::Addr>,
        /// The slice.
        slice: Slice,
    },
    /// Id 0, or the id of another service.
    #[error("service {key:?} has the id {id}, which is not its own")]
    ServiceId {
        /// The service.
        key: ServiceKey<F::Addr>,
        /// The id.
        id: u32,
    },
    /// A backend stands where none may.
    #[error("backend {id} is outside the table")]
    BackendOutside {
        /// The backend's id.
        id: u32,
    },
}

/// Reads the maps of one family.
pub(super) fn restore<F: Family>(
    limits: Limits,
    services: impl IntoIterator<Item = (ServiceKey<F::Addr>, ServiceValue)>,
    slots: &[u32],
    backends: impl IntoIterator<Item = (u32, BackendValue<F::Addr>)>,
    source_ranges: impl IntoIterator<Item = AdmittedRange<F::Addr>>,
) -> (Programmed<F>, Vec<RestoreProblem<F>>) {
    let mut problems = Vec::new();
    let mut programmed = Programmed::<F>::new(limits);
    for (id, value) in backends.into_iter().filter(|(_, value)| value.proto != 0) {
        if programmed.backends.is_valid(id) {
            programmed.backends.put(id, value);
        } else {
            problems.push(RestoreProblem::BackendOutside { id });
        }
    }

    // Ordered, so that who keeps an id that two services have does not depend on the map's iteration order.
    let services: BTreeMap<_, _> = services.into_iter().collect();
    let size = u32::try_from(slots.len()).unwrap_or(u32::MAX).min(limits.slots);
    let mut regions = Regions::of(services.values().flat_map(lists), size);
    for (&base, region) in &mut regions.by_base {
        let found = &slots[base as usize..region.end as usize];
        let list = List::new(&found[..region.list as usize], region.table);
        let exists = |id: &u32| programmed.backends.get(*id).is_some();
        region.other_table = region.whole && list.ids.iter().all(exists) && !programmed.is_written(&list, found);
        let trusted = region.whole && !region.other_table;
        // What is not to be trusted is kept as it is: programs may be led anywhere from it.
        let list = if trusted { list } else { List::new(found, None) };
        let is_shared = trusted && list.ids.iter().all(exists);
        programmed.backends.hold(&list.ids);
        if is_shared {
            programmed.runs.insert(base, list, programmed.now);
        } else {
            programmed.runs.insert_unshared(base, list, programmed.now);
        }
    }

    for (key, value) in services {
        let before = problems.len();
        let mut held = [None; 2];
        for ((slice, table), held) in lists(&value).into_iter().zip(&mut held) {
            if slice.len == 0 {
                continue;
            }
            let Some((base, region)) = regions.find(slice, table) else {
                problems.push(RestoreProblem::SliceOutside { key, slice });
                continue;
            };
            *held = Some(base);
            programmed.hold(base);
            if !region.whole {
                problems.push(RestoreProblem::SliceOverlaps { key, slice });
                continue;
            }
            let ids = &slots[slice.base as usize..][..slice.len as usize];
            if let Some(&id) = ids.iter().find(|&&id| programmed.backends.get(id).is_none()) {
                problems.push(RestoreProblem::NoBackend { key, id });
            } else if region.other_table {
                problems.push(RestoreProblem::OtherTable { key, slice });
            }
        }
        let id = (value.id != 0 && programmed.service_ids.insert(value.id)).then_some(value.id);
        if id.is_none() {
            problems.push(RestoreProblem::ServiceId { key, id: value.id });
        }
        programmed.last_service_id = programmed.last_service_id.max(value.id);
        if let Some(id) = id.filter(|_| value.flags & flags::SOURCE_RANGES != 0) {
            programmed.ranges.ask(id);
        }
        let entry = Entry {
            value,
            id,
            cluster: held[0],
            local: held[1],
            intact: problems.len() == before,
        };
        programmed.insert(key, entry);
    }
    for range in source_ranges {
        programmed.ranges.put(range, programmed.now);
        // A new service must not find the ranges of one that was just deleted.
        programmed.last_service_id = programmed.last_service_id.max(range.service);
    }
    // Who might have read what no service asks for is gone.
    programmed.ranges.release(programmed.now);
    (programmed, problems)
}

/// The slices of a service, each with the Maglev table that stands behind it.
fn lists(value: &ServiceValue) -> [(Slice, Option<TableSize>); 2] {
    let list = |slice| {
        let has_table = maglev::table(value.flags, slice).len > 0;
        (slice, TableSize::named_by(value.flags).filter(|_| has_table))
    };
    [list(value.cluster), list(value.local)]
}

/// The parts of the slot table that services lead to. Slices that overlap without being equal are joined to one region:
/// none of it may be reused before all of them are rewritten.
struct Regions {
    by_base: BTreeMap<u32, Region>,
    /// Base of the region by slice and table.
    by_list: HashMap<(Slice, Option<TableSize>), u32>,
}

#[derive(Clone, Copy)]
struct Region {
    /// The first slot after it.
    end: u32,
    /// How many slots the list at its start has.
    list: u32,
    /// What stands behind the list.
    table: Option<TableSize>,
    /// The region is one slice and its table.
    whole: bool,
    /// The table is not the list's.
    other_table: bool,
}

impl Regions {
    fn of(lists: impl Iterator<Item = (Slice, Option<TableSize>)>, size: u32) -> Self {
        let end = |&(slice, table): &(Slice, Option<TableSize>)| {
            let list = slice.base.checked_add(slice.len)?;
            let end = list.checked_add(table.map_or(0, TableSize::slots))?;
            (end <= size).then_some(end)
        };
        let mut lists: Vec<_> = lists.filter(|(slice, _)| slice.len > 0).collect();
        lists.sort_unstable();
        lists.dedup();
        let mut regions = Self {
            by_base: BTreeMap::new(),
            by_list: HashMap::default(),
        };
        for (list, end) in lists.into_iter().filter_map(|list| Some((list, end(&list)?))) {
            let (slice, table) = list;
            let base = match regions.by_base.last_entry() {
                Some(mut last) if last.get().end > slice.base => {
                    let region = last.get_mut();
                    region.end = region.end.max(end);
                    region.whole = false;
                    *last.key()
                }
                _ => {
                    let region = Region {
                        end,
                        list: slice.len,
                        table,
                        whole: true,
                        other_table: false,
                    };
                    regions.by_base.insert(slice.base, region);
                    slice.base
                }
            };
            regions.by_list.insert(list, base);
        }
        regions
    }

    fn find(&self, slice: Slice, table: Option<TableSize>) -> Option<(u32, Region)> {
        let base = *self.by_list.get(&(slice, table))?;
        Some((base, *self.by_base.get(&base)?))
    }
}
