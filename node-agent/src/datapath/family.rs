//! One address family of the datapath: its maps, and what is known of their use.

use super::{
    Contents, Error, MapFill,
    filter::Filter,
    pins::Pins,
    source_ranges,
    tables::{MapFamily, PacketTables, ServiceTables, extents, reconcile, take},
};
use crate::plan::{Limits, Op};
use aya::{
    Ebpf,
    maps::{MapError, MapInfo},
};
use kpr_abi::{Address as _, BackendValue, FlowKey, FlowValue, StoredService, local};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Flags of an update (`BPF_NOEXIST`, `BPF_EXIST`).
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

/// What [`MapFill::name`] says of the flow tables, after the family.
pub const CONNECTION_TRACKING: &str = "connection tracking";

/// The maps of a family.
pub struct FamilyTables<F: MapFamily> {
    services: ServiceTables<F>,
    filter: Filter<F>,
    packets: PacketTables<F>,
    backends_in_use: HashSet<u32>,
    source_ranges: u32,
    frontends_gone: u64,
    map_writes: u64,
    pins: Pins,
}

impl<F: MapFamily> FamilyTables<F> {
    /// Takes the family's maps out of the loaded object.
    pub(super) fn open(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self, Error> {
        let services: ServiceTables<F> = ServiceTables::open(|name| take(ebpf, name))?;
        let mut filter = Filter::open(take(ebpf, F::FILTER)?)?;
        // Before any program of this agent runs: an agent that did not keep the filter may have written the frontends.
        filter.restore(services.keys()?.into_iter())?;
        Ok(Self {
            services,
            filter,
            packets: PacketTables::open(ebpf)?,
            backends_in_use: HashSet::new(),
            source_ranges: 0,
            frontends_gone: 0,
            map_writes: 0,
            pins: pins.clone(),
        })
    }

    /// Updates and deletes since this process took the maps.
    pub(super) fn map_writes(&self) -> u64 {
        self.map_writes
    }

    /// What the service maps hold, for a planner to start from.
    pub fn restore(&mut self) -> Result<Contents<F>, Error> {
        let contents = self.services.contents()?;
        self.map_writes += self.filter.restore(contents.services.iter().map(|(key, _)| *key))?;
        self.backends_in_use = contents.backends.keys().copied().collect();
        self.source_ranges = u32::try_from(contents.source_ranges.len()).unwrap_or(u32::MAX);
        Ok(contents)
    }

    /// Carries out one operation of a plan.
    pub fn apply(&mut self, op: &Op<F>) -> Result<(), Error> {
        let tables = &mut self.services;
        let writes = match op {
            Op::PutBackend { id, value } => {
                tables.backends.set(*id, value, 0).map_err(map_error(F::BACKENDS))?;
                self.backends_in_use.insert(*id);
                1
            }
            Op::PutSlots { base, run } => {
                let slots = run.slots();
                tables.slots.write(*base, &slots)?;
                slots.len() as u64
            }
            Op::PutRange { range } => {
                source_ranges::put(tables, range).map_err(map_error(F::SOURCE_RANGES))?;
                self.source_ranges += 1;
                1
            }
            Op::DeleteRange { range } => {
                source_ranges::delete(tables, range).map_err(map_error(F::SOURCE_RANGES))?;
                self.source_ranges = self.source_ranges.saturating_sub(1);
                1
            }
            Op::PutService { key, value } => {
                let bit = self.filter.before_put(key)?;
                let stored = StoredService::new(key, *value);
                tables.services.insert(key, stored, 0).map_err(map_error(F::SERVICES))?;
                bit + 1
            }
            Op::DeleteService { key } => {
                if key.addr != F::Addr::ANY {
                    // Before: flows to it go on, and are looked for as long as this is set.
                    self.packets.lingering.set(0, 1, 0).map_err(map_error(F::LINGERING))?;
                    self.frontends_gone += 1;
                }
                ignore_absent(tables.services.remove(key)).map_err(map_error(F::SERVICES))?;
                1 + self.filter.after_delete(key)?
            }
            Op::ClearBackend { id } => {
                let unused = BackendValue::<F::Addr>::default();
                tables.backends.set(*id, unused, 0).map_err(map_error(F::BACKENDS))?;
                self.backends_in_use.remove(id);
                // The id's next backend begins without connections. Nothing is written where they are not counted.
                if self.packets.loads.get(id, 0).is_ok_and(|load| load != 0) {
                    self.packets.loads.set(*id, 0, 0).map_err(map_error(F::LOADS))?;
                }
                1
            }
        };
        self.map_writes += writes;
        Ok(())
    }

    /// Tells the node's addresses, with the interface that each is on: those that serve NodePorts, and the others, which serve
    /// only hostPorts.
    pub fn set_local(&mut self, node_ports: &[(F::Ip, u32)], others: &[(F::Ip, u32)]) -> Result<(), Error> {
        let entry = |flags: u32| {
            move |(addr, ifindex): &(F::Ip, u32)| (F::Addr::from(*addr), (*ifindex & local::IFINDEX) | flags)
        };
        let others = others.iter().map(entry(local::HOST_PORTS_ONLY));
        let wanted: BTreeMap<F::Addr, u32> = others.chain(node_ports.iter().map(entry(0))).collect();
        self.map_writes += reconcile(F::LOCAL, &mut self.packets.local, &wanted)?;
        Ok(())
    }

    /// Tells the source address of SNAT: by interface, and `default` for any other.
    pub fn set_snat_source(&mut self, default: Option<F::Ip>, by_device: &[(u32, F::Ip)]) -> Result<(), Error> {
        let mut wanted: BTreeMap<u32, F::Addr> = by_device
            .iter()
            .map(|(ifindex, addr)| (*ifindex, F::Addr::from(*addr)))
            .collect();
        if let Some(default) = default {
            wanted.insert(0, F::Addr::from(default));
        }
        self.map_writes += reconcile(F::SNAT_SOURCE, &mut self.packets.snat_source, &wanted)?;
        Ok(())
    }

    /// How many frontends were deleted so far to which flows may go on.
    pub(super) fn frontends_gone(&self) -> u64 {
        self.frontends_gone
    }

    /// No flow is left to a frontend that is gone. Set again with the next one that goes.
    pub(super) fn none_lingers(&mut self) -> Result<(), Error> {
        self.packets.lingering.set(0, 0, 0).map_err(map_error(F::LINGERING))
    }

    /// What is in the flow table; entries that come and go meanwhile may be missing.
    pub(super) fn flow_entries(&self) -> HashMap<FlowKey<F::Addr>, FlowValue<F::Addr>> {
        self.packets.flows.iter().filter_map(Result::ok).collect()
    }

    /// How many entries the flow table has room for.
    pub(super) fn flow_capacity(&self) -> u32 {
        capacity(&self.pins, F::FLOWS)
    }

    /// Makes an entry, unless there is one.
    pub(super) fn insert_flow(&mut self, key: &FlowKey<F::Addr>, value: FlowValue<F::Addr>) -> Result<bool, Error> {
        match self.packets.flows.insert(key, value, BPF_NOEXIST) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(map_error(F::FLOWS)(error)),
        }
    }

    /// Changes what happens to a flow's packets. One that is gone meanwhile stays gone.
    pub(super) fn mark_flow(&mut self, key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>, action: u8) {
        let marked = FlowValue { action, ..*value };
        let _ = self.packets.flows.insert(key, marked, BPF_EXIST);
    }

    /// Forgets one direction of a flow.
    pub(super) fn remove_flow(&mut self, key: &FlowKey<F::Addr>) {
        let _ = self.packets.flows.remove(key);
    }

    /// How much the service maps hold.
    pub fn limits(&self) -> Limits {
        Limits {
            services: capacity(&self.pins, F::SERVICES),
            slots: self.services.slots.len(),
            backends: self.services.backends.len(),
            source_ranges: capacity(&self.pins, F::SOURCE_RANGES),
        }
    }

    /// Capacity and use of each map.
    pub(super) fn fill(&self) -> Vec<MapFill> {
        let stored: Vec<_> = self.services.services.iter().filter_map(Result::ok).collect();
        let lists: BTreeSet<_> = stored
            .iter()
            .filter_map(|(key, stored)| stored.value(key))
            .flat_map(extents)
            .collect();
        let count = |entries: usize| u32::try_from(entries).ok();
        let row = |what: &str, capacity, entries| MapFill {
            name: format!("{} {what}", F::NAME),
            capacity,
            entries,
        };
        vec![
            row("service", capacity(&self.pins, F::SERVICES), count(stored.len())),
            row(
                "service slots",
                self.services.slots.len(),
                Some(lists.iter().map(|(_, slots)| slots).sum()),
            ),
            row(
                "service backend",
                self.services.backends.len(),
                count(self.backends_in_use.len()),
            ),
            row(
                "source ranges",
                capacity(&self.pins, F::SOURCE_RANGES),
                Some(self.source_ranges),
            ),
            // Counted where flows are aged: counting reads the whole table.
            row(CONNECTION_TRACKING, capacity(&self.pins, F::FLOWS), None),
            row("fragmentation", capacity(&self.pins, F::FRAGMENTS), None),
            row(
                "node addresses",
                capacity(&self.pins, F::LOCAL),
                count(self.packets.local.keys().count()),
            ),
            row(
                "SNAT source",
                capacity(&self.pins, F::SNAT_SOURCE),
                count(self.packets.snat_source.keys().count()),
            ),
            row("connected sockets", capacity(&self.pins, F::SOCKETS), None),
            row("sock reverse NAT", capacity(&self.pins, F::PEERS), None),
            row("session affinity", capacity(&self.pins, F::AFFINITY), None),
        ]
    }
}

fn capacity(pins: &Pins, name: &str) -> u32 {
    MapInfo::from_pin(pins.map(name)).map_or(0, |info| info.max_entries())
}

fn map_error(map: &'static str) -> impl FnOnce(MapError) -> Error {
    move |source| Error::Map { map, source }
}

fn ignore_absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
