//! One address family of the datapath: its maps, and what is known of their use.

use super::{
    AdmittedRange, Contents, Error, MapFill,
    pins::Pins,
    source_ranges,
    tables::{MapFamily, PacketTables, ServiceTables, reconcile, take},
};
use crate::plan::{Limits, Op};
use aya::{
    Ebpf,
    maps::{MapError, MapInfo},
};
use kpr_abi::{BackendValue, StoredService};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What [`MapFill::name`] says of the flow tables, after the family.
pub const CONNECTION_TRACKING: &str = "connection tracking";

/// The maps of a family.
pub struct FamilyTables<F: MapFamily> {
    services: ServiceTables<F>,
    packets: PacketTables<F>,
    backends_in_use: HashSet<u32>,
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
                let stored = StoredService::new(key, *value);
                tables.services.insert(key, stored, 0).map_err(map_error(F::SERVICES))?;
                1
            }
            Op::DeleteService { key } => {
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
        let stored: Vec<_> = self.services.services.iter().filter_map(Result::ok).collect();
        let slices: BTreeSet<_> = stored
            .iter()
            .filter_map(|(key, stored)| stored.value(key))
            .flat_map(|value| [value.cluster, value.local])
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
                Some(slices.iter().map(|slice| slice.len).sum()),
            ),
            row(
                "service backend",
                self.services.backends.len(),
                count(self.backends_in_use.len()),
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
