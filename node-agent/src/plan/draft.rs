//! Room for new entries, taken tentatively: what a plan would write, on top of what the maps hold.

use std::{collections::BTreeSet, sync::Arc};

use kpr_abi::{BackendValue, ServiceKey, ServiceValue, Slice, TableSize, service::flags};

use super::{
    AdmittedRange, Op, PlanError, Programmed, SlotRun,
    extents::Extents,
    op::{Identity, identity},
    programmed::Entry,
    slot_run::List,
};
use crate::hash::{HashMap, HashSet};
use crate::maglev::Member;
use crate::model::{Backend, DesiredService, Frontend, IpFamily, NamespacedName, ServicePortName};

/// What a plan writes, before it is put in order.
pub(super) struct Draft<'a, F: IpFamily> {
    programmed: &'a Programmed<F>,
    /// Ids that no run names at the moment, with a backend that this plan wants: not to be overwritten.
    keep: BTreeSet<u32>,
    backends: Vec<(u32, BackendValue<F::Addr>)>,
    backend_ids: HashMap<Identity<F::Addr>, u32>,
    next_backend: u32,
    runs: Vec<(u32, SlotRun)>,
    run_bases: HashMap<List, u32>,
    /// Copied when the first run is allocated.
    room: Option<Extents>,
    services: Vec<(ServiceKey<F::Addr>, ServiceValue)>,
    new_services: usize,
    last_service_id: u32,
    new_ranges: Vec<AdmittedRange<F::Addr>>,
    /// Of services that have others instead.
    stale_ranges: Vec<AdmittedRange<F::Addr>>,
    /// That nobody reads, and nothing desired asks for again.
    unread_ranges: Vec<AdmittedRange<F::Addr>>,
}

/// A point to go back to.
struct Mark {
    backends: usize,
    next_backend: u32,
    runs: usize,
    services: usize,
    new_services: usize,
    last_service_id: u32,
    new_ranges: usize,
    stale_ranges: usize,
}

/// What ran out.
enum Exhausted {
    /// With a Maglev table, or without.
    Slots {
        needed: u32,
        table: bool,
    },
    Backends,
    Services,
    SourceRanges,
}

impl<'a, F: IpFamily> Draft<'a, F> {
    /// `desired`: everything that will be placed.
    pub(super) fn new(programmed: &'a Programmed<F>, desired: &[DesiredService<F>]) -> Self {
        Self {
            programmed,
            keep: wanted_unused(programmed, desired),
            backends: Vec::new(),
            backend_ids: HashMap::default(),
            next_backend: 0,
            runs: Vec::new(),
            run_bases: HashMap::default(),
            room: None,
            services: Vec::new(),
            new_services: 0,
            last_service_id: programmed.last_service_id,
            new_ranges: Vec::new(),
            stale_ranges: Vec::new(),
            unread_ranges: unread_ranges(programmed, desired),
        }
    }

    /// Writes what is needed for all frontends of a Service, or nothing if they do not all fit. If they fit, but for their Maglev
    /// tables, they go without, and what is in the way is returned.
    /// `may_be_its_own`: whether a frontend that is in the map may have been this Service's before.
    pub(super) fn place(
        &mut self,
        service: &DesiredService<F>,
        may_be_its_own: impl Fn(&ServiceKey<F::Addr>) -> bool,
    ) -> Result<Option<PlanError>, PlanError> {
        let groups = self.affinity_groups(service, may_be_its_own);
        match self.frontends(service, groups.clone(), true) {
            Ok(()) => Ok(None),
            Err(error @ PlanError::TablesExhausted { .. }) => {
                // Its endpoints are what counts.
                self.frontends(service, groups, false).map(|()| Some(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes all frontends of a Service or nothing.
    fn frontends<'s>(
        &mut self,
        service: &'s DesiredService<F>,
        mut groups: HashMap<&'s ServicePortName, u32>,
        tables: bool,
    ) -> Result<(), PlanError> {
        let mark = self.mark();
        for frontend in &service.frontends {
            if let Err(exhausted) = self.frontend(frontend, &mut groups, tables) {
                let error = self.error(&service.name, &exhausted);
                self.roll_back(&mark);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The writes so far, in an order that is safe at every prefix.
    pub(super) fn into_ops(self) -> Vec<Op<F>> {
        let mut backends = self.backends;
        backends.sort_unstable_by_key(|&(id, _)| id);
        let backends = backends.into_iter().map(|(id, value)| Op::PutBackend { id, value });
        let runs = self.runs.into_iter().map(|(base, run)| Op::PutSlots { base, run });
        let services = self
            .services
            .into_iter()
            .map(|(key, value)| Op::PutService { key, value });
        let delete = |range| Op::DeleteRange { range };
        // First, to make room.
        let unread = self.unread_ranges.into_iter().map(delete);
        let ranges = self.new_ranges.into_iter().map(|range| Op::PutRange { range });
        let stale = self.stale_ranges.into_iter().map(delete);
        unread
            .chain(backends)
            .chain(runs)
            .chain(ranges)
            .chain(services)
            .chain(stale)
            .collect()
    }

    /// Backends that nothing leads to, that this plan neither wants nor overwrites.
    pub(super) fn clearable(&self) -> Vec<u32> {
        let written: HashSet<u32> = self.backends.iter().map(|&(id, _)| id).collect();
        let unused = self.programmed.backends.unused();
        unused
            .filter(|id| !self.keep.contains(id) && !written.contains(id))
            .collect()
    }

    /// The affinity groups that the ports of a Service have in the map. A port keeps its group as long as any of its
    /// frontends is there.
    fn affinity_groups<'s>(
        &self,
        service: &'s DesiredService<F>,
        may_be_its_own: impl Fn(&ServiceKey<F::Addr>) -> bool,
    ) -> HashMap<&'s ServicePortName, u32> {
        let mut groups = HashMap::default();
        for frontend in service
            .frontends
            .iter()
            .filter(|frontend| may_be_its_own(&frontend.key))
        {
            let entry = self.programmed.services.get(&frontend.key);
            let group = entry.map_or(0, |entry| entry.value.affinity_group);
            if group != 0 {
                let lowest = groups.entry(&frontend.port).or_insert(group);
                *lowest = group.min(*lowest);
            }
        }
        groups
    }

    fn frontend<'s>(
        &mut self,
        frontend: &'s Frontend<F>,
        groups: &mut HashMap<&'s ServicePortName, u32>,
        tables: bool,
    ) -> Result<(), Exhausted> {
        let programmed = self.programmed;
        let table = frontend.maglev.filter(|_| tables);
        let entry = programmed.services.get(&frontend.key);
        let intact = entry.filter(|entry| entry.intact);
        let cluster = self.slice(&frontend.cluster, table, intact.map(|entry| entry.value.cluster))?;
        let local = self.slice(&frontend.local, table, intact.map(|entry| entry.value.local))?;
        let id = self.service_id(entry)?;
        if !frontend.source_ranges.is_empty() {
            self.source_ranges(id, frontend)?;
        }
        let value = ServiceValue {
            id,
            flags: frontend.flags() & if tables { u32::MAX } else { !flags::MAGLEV },
            cluster,
            local,
            affinity_seconds: frontend.affinity_seconds,
            // A new group is called after its first frontend, whose number no other has.
            affinity_group: *groups.entry(&frontend.port).or_insert(id),
        };
        if intact.is_none_or(|entry| entry.value != value) {
            self.services.push((frontend.key, value));
        }
        Ok(())
    }

    /// Takes room for the ranges that the service does not have yet, and notes those that it shall have no longer.
    fn source_ranges(&mut self, id: u32, frontend: &Frontend<F>) -> Result<(), Exhausted> {
        let programmed = self.programmed;
        let wanted: BTreeSet<_> = frontend.prefixes().collect();
        let missing = wanted.iter().filter(|prefix| !programmed.ranges.contains(id, **prefix));
        let range = |(addr, bits)| AdmittedRange {
            service: id,
            addr,
            bits,
        };
        self.new_ranges.extend(missing.map(|prefix| range(*prefix)));
        let stale = programmed.ranges.of(id).filter(|prefix| !wanted.contains(prefix));
        self.stale_ranges.extend(stale.map(range));
        let total = programmed.ranges.len() - self.unread_ranges.len() + self.new_ranges.len();
        if total > programmed.limits.source_ranges as usize {
            return Err(Exhausted::SourceRanges);
        }
        Ok(())
    }

    /// A run with these backends: the service's own if it has not changed, one that has the same content, or a new one.
    fn slice(
        &mut self,
        backends: &[Backend<F>],
        table: Option<TableSize>,
        current: Option<Slice>,
    ) -> Result<Slice, Exhausted> {
        let ids = backends.iter().map(|backend| self.backend_id(backend.value()));
        let mut ids: Vec<u32> = ids.collect::<Result<_, _>>()?;
        // Programs look for a backend in a slice by halving it (session affinity).
        ids.sort_unstable();
        let len = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        if len == 0 {
            return Ok(Slice::default());
        }
        let list = List::new(ids, table);
        let runs = &self.programmed.runs;
        if let Some(current) = current.filter(|current| current.len == len)
            && runs.at(current.base).is_some_and(|run| run.list == list)
        {
            return Ok(current);
        }
        if let Some(base) = runs.find(&list).or_else(|| self.run_bases.get(&list).copied()) {
            return Ok(Slice { base, len });
        }
        let room = self.room.get_or_insert_with(|| runs.room().clone());
        let needed = list.slots();
        let base = room.allocate(needed).ok_or(Exhausted::Slots {
            needed,
            table: list.table.is_some(),
        })?;
        let run = match list.table {
            None => SlotRun::list(Arc::clone(&list.ids)),
            Some(size) => SlotRun::with_table(size, self.members(backends)),
        };
        self.run_bases.insert(list, base);
        self.runs.push((base, run));
        Ok(Slice { base, len })
    }

    /// Backends that have ids, in the order of these.
    fn members(&self, backends: &[Backend<F>]) -> Vec<(u32, Member)> {
        let id = |value: &BackendValue<F::Addr>| {
            let identity = identity(value);
            let new = self.backend_ids.get(&identity).copied();
            new.or_else(|| self.programmed.backends.find(&identity))
        };
        let values = backends.iter().map(Backend::value);
        let members = values.filter_map(|value| Some((id(&value)?, Member::new::<F>(&value))));
        let mut members: Vec<_> = members.collect();
        members.sort_unstable_by_key(|&(id, _)| id);
        members
    }

    fn backend_id(&mut self, value: BackendValue<F::Addr>) -> Result<u32, Exhausted> {
        let identity = identity(&value);
        if let Some(&id) = self.backend_ids.get(&identity) {
            return Ok(id);
        }
        let backends = &self.programmed.backends;
        let id = match backends.find(&identity) {
            Some(id) if backends.get(id) == Some(&value) => return Ok(id),
            Some(id) => id,
            None => {
                let id = backends
                    .writable(self.next_backend, &self.keep)
                    .ok_or(Exhausted::Backends)?;
                self.next_backend = id + 1;
                id
            }
        };
        self.backend_ids.insert(identity, id);
        self.backends.push((id, value));
        Ok(id)
    }

    /// The service's own id, or the one after the last that was given: an id that was in use a moment ago may still
    /// stand in a table beside the service map.
    fn service_id(&mut self, entry: Option<&Entry>) -> Result<u32, Exhausted> {
        if entry.is_none() {
            if self.programmed.services.len() + self.new_services >= self.programmed.limits.services as usize {
                return Err(Exhausted::Services);
            }
            self.new_services += 1;
        }
        if let Some(id) = entry.and_then(|entry| entry.id) {
            return Ok(id);
        }
        loop {
            self.last_service_id = self.last_service_id.wrapping_add(1);
            let id = self.last_service_id;
            // Ranges of a service that was never published, or is gone, would let strangers in.
            let has_ranges = self.programmed.ranges.of(id).next().is_some();
            if id != 0 && !self.programmed.service_ids.contains(&id) && !has_ranges {
                return Ok(id);
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            backends: self.backends.len(),
            next_backend: self.next_backend,
            runs: self.runs.len(),
            services: self.services.len(),
            new_services: self.new_services,
            last_service_id: self.last_service_id,
            new_ranges: self.new_ranges.len(),
            stale_ranges: self.stale_ranges.len(),
        }
    }

    fn roll_back(&mut self, mark: &Mark) {
        for (_, value) in self.backends.drain(mark.backends..) {
            self.backend_ids.remove(&identity(&value));
        }
        for (base, run) in self.runs.drain(mark.runs..) {
            self.run_bases.remove(run.content());
            if let Some(room) = &mut self.room {
                room.free(base, run.content().slots());
            }
        }
        self.services.truncate(mark.services);
        self.new_ranges.truncate(mark.new_ranges);
        self.stale_ranges.truncate(mark.stale_ranges);
        self.next_backend = mark.next_backend;
        self.new_services = mark.new_services;
        self.last_service_id = mark.last_service_id;
    }

    fn error(&self, service: &NamespacedName, exhausted: &Exhausted) -> PlanError {
        let service = service.clone();
        let limits = self.programmed.limits;
        match *exhausted {
            Exhausted::Slots { needed, table } => {
                let room = self.room.as_ref().unwrap_or_else(|| self.programmed.runs.room());
                let (longest, free, limit) = (room.longest(), room.total(), limits.slots);
                if table {
                    PlanError::TablesExhausted {
                        service,
                        needed,
                        longest,
                        free,
                        limit,
                    }
                } else {
                    PlanError::SlotsExhausted {
                        service,
                        needed,
                        longest,
                        free,
                        limit,
                    }
                }
            }
            Exhausted::Backends => PlanError::BackendsExhausted {
                service,
                limit: limits.backends,
            },
            Exhausted::Services => PlanError::ServicesExhausted {
                service,
                limit: limits.services,
            },
            Exhausted::SourceRanges => PlanError::SourceRangesExhausted {
                service,
                limit: limits.source_ranges,
            },
        }
    }
}

fn wanted_unused<F: IpFamily>(programmed: &Programmed<F>, desired: &[DesiredService<F>]) -> BTreeSet<u32> {
    let unused: BTreeSet<u32> = programmed.backends.unused().collect();
    if unused.is_empty() {
        return unused;
    }
    let frontends = desired.iter().flat_map(|service| &service.frontends);
    let backends = frontends.flat_map(|frontend| frontend.cluster.iter().chain(frontend.local.iter()));
    let ids = backends.filter_map(|backend| programmed.backends.find(&identity(&backend.value())));
    ids.filter(|id| unused.contains(id)).collect()
}

/// Ranges that nobody reads, but for those of services that are to have ranges again.
fn unread_ranges<F: IpFamily>(
    programmed: &Programmed<F>,
    desired: &[DesiredService<F>],
) -> Vec<AdmittedRange<F::Addr>> {
    let mut unread: BTreeSet<u32> = programmed.ranges.unread().collect();
    if unread.is_empty() {
        return Vec::new();
    }
    let frontends = desired.iter().flat_map(|service| &service.frontends);
    for frontend in frontends.filter(|frontend| !frontend.source_ranges.is_empty()) {
        let entry = programmed.services.get(&frontend.key);
        if let Some(id) = entry.and_then(|entry| entry.id) {
            unread.remove(&id);
        }
    }
    let of = |service| {
        let range = move |(addr, bits)| AdmittedRange { service, addr, bits };
        programmed.ranges.of(service).map(range)
    };
    unread.into_iter().flat_map(of).collect()
}
