//! One address family of the datapath: its maps, and what is known of their use.

use super::{
    Contents, Error, MapFill,
    fill::{BACKENDS, CONNECTION_TRACKING, FRONTENDS, SLOTS, SOURCE_RANGES},
    filter::Filter,
    pins::Pins,
    service_counts::ServiceCounts,
    source_ranges,
    tables::{MapFamily, PacketTables, ServiceTables, ignore_absent, map_error, reconcile, take},
};
use crate::{
    model::Protocol,
    plan::{Limits, Op},
};
use aya::{
    Ebpf,
    maps::{MapError, MapInfo},
};
use kpr_abi::{Address as _, BackendValue, FlowKey, FlowValue, StoredService, local};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

/// Flags of an update (`BPF_NOEXIST`, `BPF_EXIST`).
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

/// Entries that are written together.
const AT_ONCE: usize = 4_096;

/// The maps of a family.
pub struct FamilyTables<F: MapFamily> {
    services: ServiceTables<F>,
    filter: Filter<F>,
    packets: PacketTables<F>,
    /// None: the programs don't count.
    counts: Option<ServiceCounts<F>>,
    source_ranges: u32,
    frontends_gone: u64,
    map_writes: u64,
    capacities: BTreeMap<&'static str, u32>,
}

impl<F: MapFamily> FamilyTables<F> {
    /// Takes the family's maps out of the loaded object.
    pub(super) fn open(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self, Error> {
        let services: ServiceTables<F> = ServiceTables::open(|name| take(ebpf, name))?;
        let mut filter = Filter::open(take(ebpf, F::FILTER)?)?;
        // Before any program of this agent runs: an agent that did not keep the filter may have written the frontends.
        filter.restore(&services.frontends()?)?;
        let capacity = |name| {
            let info = MapInfo::from_pin(pins.map(name));
            (name, info.map_or(0, |info| info.max_entries()))
        };
        let sized = [
            F::SERVICES,
            F::SLOTS,
            F::BACKENDS,
            F::SOURCE_RANGES,
            F::FLOWS,
            F::FRAGMENTS,
            F::LOCAL,
            F::SNAT_SOURCE,
            F::SOCKETS,
            F::PEERS,
            F::AFFINITY,
            F::SERVICE_COUNTS,
        ];
        Ok(Self {
            services,
            filter,
            packets: PacketTables::open(ebpf)?,
            counts: ebpf.take_map(F::SERVICE_COUNTS).map(ServiceCounts::open).transpose()?,
            source_ranges: 0,
            frontends_gone: 0,
            map_writes: 0,
            capacities: sized.map(capacity).into(),
        })
    }

    /// Updates and deletes since this process took the maps.
    pub(super) fn map_writes(&self) -> u64 {
        self.map_writes
    }

    /// What the service maps hold, for a planner to start from.
    pub fn restore(&mut self) -> Result<Contents<F>, Error> {
        let contents = self.services.contents()?;
        self.map_writes += self.filter.restore(&contents.services)?;
        self.source_ranges = u32::try_from(contents.source_ranges.len()).unwrap_or(u32::MAX);
        Ok(contents)
    }

    /// Carries out one operation of a plan.
    pub fn apply(&mut self, op: &Op<F>) -> Result<(), Error> {
        let tables = &mut self.services;
        let writes = match op {
            Op::PutBackend { id, value } => {
                tables.backends.write(*id, &[*value])?;
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
                tables.backends.write(*id, &[unused])?;
                self.forget_load(*id)?;
                1
            }
        };
        self.map_writes += writes;
        Ok(())
    }

    /// Carries out operations in their order, many writes of one kind with one system call. Returns how many were carried out; an
    /// error is that of the next one.
    pub fn apply_all(&mut self, ops: &[Op<F>]) -> (usize, Result<(), Error>) {
        let mut done = 0;
        while done < ops.len() {
            let (carried_out, result) = self.apply_alike(&ops[done..]);
            done += carried_out;
            if result.is_err() {
                return (done, result);
            }
        }
        (done, Ok(()))
    }

    /// Carries out the first operations, at least one, that can be written together.
    fn apply_alike(&mut self, ops: &[Op<F>]) -> (usize, Result<(), Error>) {
        let tables = &self.services;
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for op in ops.iter().take(AT_ONCE) {
            let (id, value) = match op {
                Op::PutBackend { id, value } => (*id, *value),
                Op::ClearBackend { id } => (*id, BackendValue::default()),
                _ => break,
            };
            indices.push(id);
            values.push(value);
        }
        if indices.len() > 1 {
            let (done, mut result) = tables.backends.write_at(&indices, &values);
            self.map_writes += done as u64;
            for id in ops[..done].iter().filter_map(cleared) {
                result = result.and_then(|()| self.forget_load(id));
            }
            return (done, result);
        }

        // Lists without a table are short.
        let (mut indices, mut slots, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::PutSlots { base, run } if slots.len() < AT_ONCE && !run.has_table() => {
                    slots.extend_from_slice(run.ids());
                    indices.extend((*base..).take(run.ids().len()));
                    ends.push(slots.len());
                }
                _ => break,
            }
        }
        if ends.len() > 1 {
            let (written, result) = tables.slots.write_at(&indices, &slots);
            self.map_writes += written as u64;
            return (ends.partition_point(|&end| end <= written), result);
        }

        let put = |op: &Op<F>| match op {
            Op::PutService { key, value } => Some((*key, *value)),
            _ => None,
        };
        let services: Vec<_> = ops.iter().take(AT_ONCE).map_while(put).collect();
        if services.len() > 1 {
            let bits = self.filter.before_puts(services.iter().map(|(key, _)| key));
            match bits {
                Ok(writes) => self.map_writes += writes,
                Err(error) => return (0, Err(error)),
            }
            let (done, result) = tables.put_services(&services);
            self.map_writes += done as u64;
            return (done, result);
        }
        let Some(op) = ops.first() else { return (0, Ok(())) };
        let result = self.apply(op);
        (usize::from(result.is_ok()), result)
    }

    /// The next backend of this id begins without connections. Nothing is written where they are not counted.
    fn forget_load(&mut self, id: u32) -> Result<(), Error> {
        if self.packets.loads.get(&id, 0).is_ok_and(|load| load != 0) {
            self.packets.loads.set(id, 0, 0).map_err(map_error(F::LOADS))?;
        }
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

    /// The frontends that are counted.
    pub fn counted(&self) -> Vec<(SocketAddr, Protocol)> {
        self.counts.iter().flat_map(ServiceCounts::frontends).collect()
    }

    /// Has exactly these frontends counted, at most [`FRONTENDS`](kpr_abi::service_count::FRONTENDS). Those that are counted already go on.
    /// Nothing happens where the programs don't count ([`Settings::count_services`](super::Settings::count_services)).
    pub fn count(&mut self, frontends: &[(SocketAddr, Protocol)]) -> Result<(), Error> {
        if let Some(counts) = &mut self.counts {
            self.map_writes += counts.be(frontends)?;
        }
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
        self.capacity(F::FLOWS)
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
            services: self.capacity(F::SERVICES),
            slots: self.services.slots.len(),
            backends: self.services.backends.len(),
            source_ranges: self.capacity(F::SOURCE_RANGES),
        }
    }

    /// Capacity and use of each map; not of those that are read to be counted.
    pub(super) fn fill(&self) -> Vec<MapFill> {
        let count = |entries: usize| u32::try_from(entries).ok();
        let row = |what: &str, map, entries| MapFill {
            name: format!("{} {what}", F::NAME),
            capacity: self.capacity(map),
            entries,
        };
        let counted = self.counts.iter();
        let counted = counted.map(|counts| row("counted services", F::SERVICE_COUNTS, Some(counts.len())));
        let rows = [
            row(FRONTENDS, F::SERVICES, None),
            row(SLOTS, F::SLOTS, None),
            row(BACKENDS, F::BACKENDS, None),
            row(SOURCE_RANGES, F::SOURCE_RANGES, Some(self.source_ranges)),
            row(CONNECTION_TRACKING, F::FLOWS, None),
            row("fragmentation", F::FRAGMENTS, None),
            row("node addresses", F::LOCAL, count(self.packets.local.keys().count())),
            row(
                "SNAT source",
                F::SNAT_SOURCE,
                count(self.packets.snat_source.keys().count()),
            ),
            row("connected sockets", F::SOCKETS, None),
            row("sock reverse NAT", F::PEERS, None),
            row("session affinity", F::AFFINITY, None),
        ];
        rows.into_iter().chain(counted).collect()
    }

    fn capacity(&self, map: &'static str) -> u32 {
        self.capacities.get(map).copied().unwrap_or_default()
    }
}

/// The backend that the operation clears, if it does.
fn cleared<F: MapFamily>(op: &Op<F>) -> Option<u32> {
    match op {
        Op::ClearBackend { id } => Some(*id),
        _ => None,
    }
}
