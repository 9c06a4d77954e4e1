//! What the maps hold after a restart, read back and checked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kpr_abi::{BackendValue, Family, ServiceKey, ServiceValue, Slice, service::flags};

use super::{AdmittedRange, Limits, Programmed, programmed::Entry};

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
    let regions = Regions::of(services.values().flat_map(|value| [value.cluster, value.local]), size);
    for (&base, region) in &regions.by_base {
        let ids: Arc<[u32]> = slots[base as usize..region.end as usize].into();
        programmed.backends.hold(&ids);
        if region.whole && ids.iter().all(|&id| programmed.backends.get(id).is_some()) {
            programmed.runs.insert(base, ids, programmed.now);
        } else {
            programmed.runs.insert_unshared(base, ids, programmed.now);
        }
    }

    for (key, value) in services {
        let before = problems.len();
        let mut held = [None; 2];
        for (slice, held) in [value.cluster, value.local].into_iter().zip(&mut held) {
            if slice.len == 0 {
                continue;
            }
            let Some((base, region)) = regions.find(slice) else {
                problems.push(RestoreProblem::SliceOutside { key, slice });
                continue;
            };
            *held = Some(base);
            programmed.runs.hold(base);
            if !region.whole {
                problems.push(RestoreProblem::SliceOverlaps { key, slice });
                continue;
            }
            let ids = &slots[slice.base as usize..][..slice.len as usize];
            if let Some(&id) = ids.iter().find(|&&id| programmed.backends.get(id).is_none()) {
                problems.push(RestoreProblem::NoBackend { key, id });
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
        programmed.services.insert(key, entry);
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

/// The parts of the slot table that services lead to. Slices that overlap without being equal are joined to one region:
/// none of it may be reused before all of them are rewritten.
struct Regions {
    by_base: BTreeMap<u32, Region>,
    /// Base of the region by slice.
    by_slice: HashMap<Slice, u32>,
}

#[derive(Clone, Copy)]
struct Region {
    end: u32,
    /// The region is one slice.
    whole: bool,
}

impl Regions {
    fn of(slices: impl Iterator<Item = Slice>, size: u32) -> Self {
        let inside = |slice: &Slice| slice.base.checked_add(slice.len).is_some_and(|end| end <= size);
        let mut slices: Vec<Slice> = slices.filter(|slice| slice.len > 0 && inside(slice)).collect();
        slices.sort_unstable();
        slices.dedup();
        let mut regions = Self {
            by_base: BTreeMap::new(),
            by_slice: HashMap::new(),
        };
        for slice in slices {
            let end = slice.base + slice.len;
            let base = match regions.by_base.last_entry() {
                Some(mut last) if last.get().end > slice.base => {
                    let region = last.get_mut();
                    region.end = region.end.max(end);
                    region.whole = false;
                    *last.key()
                }
                _ => {
                    regions.by_base.insert(slice.base, Region { end, whole: true });
                    slice.base
                }
            };
            regions.by_slice.insert(slice, base);
        }
        regions
    }

    fn find(&self, slice: Slice) -> Option<(u32, Region)> {
        let base = *self.by_slice.get(&slice)?;
        Some((base, *self.by_base.get(&base)?))
    }
}
