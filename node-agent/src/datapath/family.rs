//! One address family of the datapath: its maps, and what is known of their use.

use super::{
    AdmittedRange, Contents, Error, MapFill, Sweep, Timeouts, flows,
    pins::Pins,
    source_ranges,
    tables::{MapFamily, PacketTables, ServiceTables, reconcile, take},
};
use crate::plan::{Limits, Op};
use aya::{
    Ebpf,
    maps::{MapError, MapInfo},
};
use kpr_abi::{Address as _, BackendValue, FlowKey, FlowValue, ServiceKey, flow::direction};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Flags of an update (`BPF_NOEXIST`, `BPF_EXIST`).
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

/// The maps of a family.
pub struct FamilyTables<F: MapFamily> {
    services: ServiceTables<F>,
    packets: PacketTables<F>,
    backends_in_use: HashSet<u32>,
    live_flows: Option<u32>,
    map_writes: u64,
    pins: Pins,
}

impl<F: MapFamily> FamilyTables<F> {
    /// Takes the family's maps out of the loaded object.
    pub(super) fn open(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            services: ServiceTables::open(|name| take(ebpf, name))?,
            packets: PacketTables::open(ebpf)?,
            backends_in_use: HashSet::new(),
            live_flows: None,
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
        self.backends_in_use = contents.backends.keys().copied().collect();
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
            Op::PutSlots { base, ids } => {
                for (index, id) in (*base..).zip(ids) {
                    tables.slots.set(index, id, 0).map_err(map_error(F::SLOTS))?;
                }
                ids.len() as u64
            }
            Op::PutService { key, value } => {
                tables.services.insert(key, value, 0).map_err(map_error(F::SERVICES))?;
                1
            }
            Op::DeleteService { key } => {
                if key.addr != F::Addr::ANY {
                    // Before: flows to it go on, and are looked for as long as this is set.
                    self.packets.lingering.set(0, 1, 0).map_err(map_error(F::LINGERING))?;
                }
                ignore_absent(tables.services.remove(key)).map_err(map_error(F::SERVICES))?;
                1
            }
            Op::ClearBackend { id } => {
                let unused = BackendValue::<F::Addr>::default();
                tables.backends.set(*id, unused, 0).map_err(map_error(F::BACKENDS))?;
                self.backends_in_use.remove(id);
                1
            }
        };
        self.map_writes += writes;
        Ok(())
    }

    /// Tells which of the node's addresses serve NodePorts, with the interface that each is on.
    pub fn set_local(&mut self, addresses: &[(F::Ip, u32)]) -> Result<(), Error> {
        let wanted: BTreeMap<F::Addr, u32> = addresses
            .iter()
            .map(|(addr, ifindex)| (F::Addr::from(*addr), *ifindex))
            .collect();
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

    /// Adds source ranges. Before a frontend is published that has them: one with the flag and without ranges admits no one.
    pub fn admit(&mut self, wanted: &BTreeSet<AdmittedRange<F::Addr>>) -> Result<(), Error> {
        self.map_writes += source_ranges::admit(&mut self.packets, wanted)?;
        Ok(())
    }

    /// Removes all source ranges but these, after frontends were published or deleted.
    pub fn retain_ranges(&mut self, wanted: &BTreeSet<AdmittedRange<F::Addr>>) -> Result<(), Error> {
        self.map_writes += source_ranges::retain(&mut self.packets, wanted)?;
        Ok(())
    }

    /// Removes flows that have been idle for too long, and looks whether any is left to a frontend that is gone.
    pub fn sweep(&mut self, timeouts: &Timeouts) -> Sweep {
        let (sweep, entries) = flows::sweep::<F>(&mut self.packets, flows::now(), timeouts);
        self.live_flows = Some(sweep.live);
        if self.packets.lingering.get(&0, 0).is_ok_and(|any| any != 0) && !self.any_lingers(entries.keys()) {
            // Set again with the next frontend that goes.
            let _ = self.packets.lingering.set(0, 0, 0);
        }
        sweep
    }

    fn any_lingers<'k>(&self, mut flows: impl Iterator<Item = &'k FlowKey<F::Addr>>) -> bool {
        let is_frontend = |addr, key: &FlowKey<F::Addr>| {
            let key = ServiceKey::new(addr, key.dport, key.proto);
            self.services.services.get(&key, 0).is_ok()
        };
        let lingers = |key: &&FlowKey<F::Addr>| {
            key.direction == direction::FORWARD && !is_frontend(key.dst, key) && !is_frontend(F::Addr::ANY, key)
        };
        flows.find(lingers).is_some()
    }

    /// What is in the flow table; entries that come and go meanwhile may be missing.
    pub(super) fn flow_entries(&self) -> flows::Entries<F::Addr> {
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
        }
    }

    /// Capacity and use of each map.
    pub(super) fn fill(&self) -> Vec<MapFill> {
        let values: Vec<_> = self.services.services.iter().filter_map(Result::ok).collect();
        let slices: BTreeSet<_> = values
            .iter()
            .flat_map(|(_, value)| [value.cluster, value.local])
            .collect();
        let count = |entries: usize| u32::try_from(entries).ok();
        let row = |what: &str, capacity, entries| MapFill {
            name: format!("{} {what}", F::NAME),
            capacity,
            entries,
        };
        vec![
            row("service", capacity(&self.pins, F::SERVICES), count(values.len())),
            row(
                "service slots",
                self.services.slots.len(),
                Some(slices.iter().map(|slice| slice.len).sum()),
            ),
            row(
                "service backend",
                self.services.backends.len(),
                count(self.backends_in_use.len()),
            ),
            row("connection tracking", capacity(&self.pins, F::FLOWS), self.live_flows),
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
