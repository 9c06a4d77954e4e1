//! The datapath of this node as one value: what is loaded, attached and written.

use super::{
    Attachment, Counter, Error, MapFill, Options, Report, Settings, Sweep, Timeouts, cgroup, checks,
    features::Features,
    flows, load, packet_hooks,
    pins::Pins,
    reserved_ports,
    tables::{Contents, PacketTables, ServiceTables, convert, reconcile, take},
};
use crate::{devices::Device, plan::Op};
use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray},
};
use kpr_abi::{Addr4, Reason, V4, maps};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::Ipv4Addr,
};

/// The running datapath. Dropping it leaves programs attached and maps pinned: traffic goes on without the agent.
pub struct Datapath {
    ebpf: Ebpf,
    options: Options,
    pins: Pins,
    features: Features,
    services4: ServiceTables<V4>,
    packets4: PacketTables<V4>,
    counters: PerCpuArray<MapData, u64>,
    socket_hooks: Vec<Attachment>,
    packet_hooks: Vec<Attachment>,
    backends_in_use: HashSet<u32>,
    live_flows: Option<u32>,
    map_writes: u64,
}

impl Datapath {
    /// Loads the programs, adopts pinned maps or makes them, and attaches the socket hooks; programs that an earlier agent
    /// left attached are swapped without a gap. Packet hooks follow with [`Self::attach`].
    pub fn start(options: &Options, settings: &Settings) -> Result<Self, Error> {
        checks::preflight(options)?;
        let pins = Pins::new(&options.bpffs_root);
        pins.create().map_err(|source| Error::Io {
            what: format!("make the pin directories under {}", options.bpffs_root.display()),
            source,
        })?;
        let features = Features::probe();
        let mut ebpf = load::load(&pins, settings, &features)?;
        let services4 = ServiceTables::open(|name| take(&mut ebpf, name))?;
        let packets4 = PacketTables::open(&mut ebpf)?;
        let counters = convert(maps::COUNTERS, take(&mut ebpf, maps::COUNTERS)?)?;
        reserved_ports::reserve(settings.snat_ports, &options.run_dir)?;
        packet_hooks::load(&mut ebpf)?;
        let socket_hooks = cgroup::attach(&mut ebpf, &options.cgroup_root, &pins)?;
        Ok(Self {
            ebpf,
            options: options.clone(),
            pins,
            features,
            services4,
            packets4,
            counters,
            socket_hooks,
            packet_hooks: Vec::new(),
            backends_in_use: HashSet::new(),
            live_flows: None,
            map_writes: 0,
        })
    }

    /// What the IPv4 maps hold, for a planner to start from.
    pub fn restore4(&mut self) -> Result<Contents<V4>, Error> {
        let contents = self.services4.contents()?;
        self.backends_in_use = contents.backends.keys().copied().collect();
        Ok(contents)
    }

    /// Carries out one operation on the IPv4 maps.
    pub fn apply4(&mut self, op: &Op<V4>) -> Result<(), Error> {
        let tables = &mut self.services4;
        let writes = match op {
            Op::PutBackend { id, value } => {
                tables.backends.set(*id, value, 0).map_err(map_error(maps::BACKENDS4))?;
                self.backends_in_use.insert(*id);
                1
            }
            Op::PutSlots { base, ids } => {
                for (index, id) in (*base..).zip(ids) {
                    tables.slots.set(index, id, 0).map_err(map_error(maps::SLOTS4))?;
                }
                ids.len() as u64
            }
            Op::PutService { key, value } => {
                tables
                    .services
                    .insert(key, value, 0)
                    .map_err(map_error(maps::SERVICES4))?;
                1
            }
            Op::DeleteService { key } => {
                ignore_absent(tables.services.remove(key)).map_err(map_error(maps::SERVICES4))?;
                1
            }
            Op::ClearBackend { id } => {
                tables
                    .backends
                    .set(*id, kpr_abi::BackendValue::default(), 0)
                    .map_err(map_error(maps::BACKENDS4))?;
                self.backends_in_use.remove(id);
                1
            }
        };
        self.map_writes += writes;
        Ok(())
    }

    /// Attaches the packet programs to exactly these devices.
    pub fn attach(&mut self, devices: &[Device]) -> Result<(), Error> {
        self.packet_hooks = packet_hooks::attach(&mut self.ebpf, devices, &self.pins, &self.options, &self.features)?;
        Ok(())
    }

    /// Tells which of the node's addresses serve NodePorts, with the interface that each is on.
    pub fn set_local4(&mut self, addresses: &[(Ipv4Addr, u32)]) -> Result<(), Error> {
        let wanted: BTreeMap<Addr4, u32> = addresses
            .iter()
            .map(|(addr, ifindex)| ((*addr).into(), *ifindex))
            .collect();
        self.map_writes += reconcile(maps::LOCAL4, &mut self.packets4.local, &wanted)?;
        Ok(())
    }

    /// Tells the source address of SNAT: by interface, and `default` for any other.
    pub fn set_snat_source4(&mut self, default: Option<Ipv4Addr>, by_device: &[(u32, Ipv4Addr)]) -> Result<(), Error> {
        let mut wanted: BTreeMap<u32, Addr4> = by_device
            .iter()
            .map(|(ifindex, addr)| (*ifindex, (*addr).into()))
            .collect();
        if let Some(default) = default {
            wanted.insert(0, default.into());
        }
        self.map_writes += reconcile(maps::SNAT_SOURCE4, &mut self.packets4.snat_source, &wanted)?;
        Ok(())
    }

    /// Removes flows that have been idle for too long.
    pub fn sweep_flows(&mut self, timeouts: &Timeouts) -> Result<Sweep, Error> {
        let sweep = flows::sweep::<V4>(&mut self.packets4, flows::now(), timeouts)?;
        self.live_flows = Some(sweep.live);
        Ok(sweep)
    }

    /// What is attached, how full the maps are, and what happened so far.
    pub fn report(&self) -> Report {
        Report {
            attachments: self.socket_hooks.iter().chain(&self.packet_hooks).cloned().collect(),
            maps: self.fill(),
            counters: self.read_counters(),
            features: self.features.describe(self.options.tc),
            map_writes: self.map_writes,
        }
    }

    /// Detaches everything, removes every pin and puts sysctls back. Works without a running datapath too.
    pub fn remove(options: &Options) -> Result<(), Error> {
        packet_hooks::remove(options)?;
        Pins::remove_all(&options.bpffs_root).map_err(|source| Error::Io {
            what: format!("remove the pins under {}", options.bpffs_root.display()),
            source,
        })?;
        reserved_ports::restore(&options.run_dir)
    }

    /// Where this datapath lives.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Size of an IPv4 table: frontends, slots, backends.
    pub fn limits4(&self) -> crate::plan::Limits {
        crate::plan::Limits {
            services: self.capacity(maps::SERVICES4),
            slots: self.services4.slots.len(),
            backends: self.services4.backends.len(),
        }
    }

    pub(super) fn program(&self, name: &str) -> Option<&aya::programs::Program> {
        self.ebpf.program(name)
    }

    fn fill(&self) -> Vec<MapFill> {
        let values: Vec<_> = self.services4.services.iter().filter_map(Result::ok).collect();
        let slices: BTreeSet<_> = values
            .iter()
            .flat_map(|(_, value)| [value.cluster, value.local])
            .collect();
        let count = |entries: usize| u32::try_from(entries).ok();
        let row = |name, capacity, entries| MapFill {
            name,
            capacity,
            entries,
        };
        vec![
            row("IPv4 service", self.capacity(maps::SERVICES4), count(values.len())),
            row(
                "IPv4 service slots",
                self.services4.slots.len(),
                Some(slices.iter().map(|slice| slice.len).sum()),
            ),
            row(
                "IPv4 service backend",
                self.services4.backends.len(),
                count(self.backends_in_use.len()),
            ),
            row("IPv4 connection tracking", self.capacity(maps::FLOWS4), self.live_flows),
            row("IPv4 fragmentation", self.capacity(maps::FRAGMENTS4), None),
            row(
                "IPv4 node addresses",
                self.capacity(maps::LOCAL4),
                count(self.packets4.local.keys().count()),
            ),
            row(
                "IPv4 SNAT source",
                self.capacity(maps::SNAT_SOURCE4),
                count(self.packets4.snat_source.keys().count()),
            ),
            row("IPv4 sock reverse NAT", self.capacity(maps::PEERS4), None),
        ]
    }

    fn capacity(&self, name: &str) -> u32 {
        aya::maps::MapInfo::from_pin(self.pins.map(name)).map_or(0, |info| info.max_entries())
    }

    fn read_counters(&self) -> Vec<Counter> {
        Reason::ALL
            .iter()
            .map(|&reason| Counter {
                reason: reason.name(),
                count: self
                    .counters
                    .get(&(reason as u32), 0)
                    .map_or(0, |per_cpu| per_cpu.iter().sum()),
            })
            .collect()
    }
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
