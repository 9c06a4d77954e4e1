//! The datapath of this node as one value: what is loaded, attached and written.

use super::{
    Attachment, Counter, Error, Options, Report, Settings, SocketLb, cgroup, checks,
    family::FamilyTables,
    features::Features,
    load, packet_hooks,
    pins::Pins,
    reserved_ports,
    tables::{convert, take},
};
use crate::devices::Device;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use kpr_abi::{Reason, V4, V6, maps};

/// The running datapath. Dropping it leaves programs attached and maps pinned: traffic goes on without the agent.
pub struct Datapath {
    ebpf: Ebpf,
    options: Options,
    pins: Pins,
    features: Features,
    bind_protection: bool,
    v4: FamilyTables<V4>,
    v6: FamilyTables<V6>,
    counters: PerCpuArray<MapData, u64>,
    socket_hooks: Vec<Attachment>,
    packet_hooks: Vec<Attachment>,
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
        let v4 = FamilyTables::open(&mut ebpf, &pins)?;
        let v6 = FamilyTables::open(&mut ebpf, &pins)?;
        let counters = convert(maps::COUNTERS, take(&mut ebpf, maps::COUNTERS)?)?;
        reserved_ports::reserve(settings.snat_ports, &options.run_dir)?;
        packet_hooks::load(&mut ebpf)?;
        let bind_protection = settings.bind_protection;
        let socket_hooks = [
            (cgroup::BALANCE, settings.socket_lb != SocketLb::Off),
            (cgroup::PROTECT, bind_protection && features.bind_protection),
        ];
        let socket_hooks = cgroup::attach(&mut ebpf, &options.cgroup_root, &pins, &socket_hooks)?;
        Ok(Self {
            ebpf,
            options: options.clone(),
            pins,
            features,
            bind_protection,
            v4,
            v6,
            counters,
            socket_hooks,
            packet_hooks: Vec::new(),
        })
    }

    /// The IPv4 tables.
    pub fn v4(&self) -> &FamilyTables<V4> {
        &self.v4
    }

    /// The IPv4 tables, to change them.
    pub fn v4_mut(&mut self) -> &mut FamilyTables<V4> {
        &mut self.v4
    }

    /// The IPv6 tables.
    pub fn v6(&self) -> &FamilyTables<V6> {
        &self.v6
    }

    /// The IPv6 tables, to change them.
    pub fn v6_mut(&mut self) -> &mut FamilyTables<V6> {
        &mut self.v6
    }

    /// Attaches the packet programs to exactly these devices: external ones, and pod-facing ones where pods' packets are to be
    /// balanced one by one.
    pub fn attach(&mut self, external: &[Device], pod_facing: &[Device]) -> Result<(), Error> {
        let (ebpf, pins) = (&mut self.ebpf, &self.pins);
        self.packet_hooks = packet_hooks::attach(ebpf, external, pod_facing, pins, &self.options, &self.features)?;
        Ok(())
    }

    /// Whether programs are on pod-facing devices, attached by this agent or the one before it.
    pub fn serves_pods(&self) -> bool {
        packet_hooks::are_on_pods(&self.options)
    }

    /// What is attached, how full the maps are, and what happened so far.
    pub fn report(&self) -> Report {
        Report {
            attachments: self.socket_hooks.iter().chain(&self.packet_hooks).cloned().collect(),
            maps: [self.v4.fill(), self.v6.fill()].concat(),
            counters: self.read_counters(),
            features: self.features.describe(self.options.tc, self.bind_protection),
            map_writes: self.v4.map_writes() + self.v6.map_writes(),
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

    pub(super) fn program(&self, name: &str) -> Option<&aya::programs::Program> {
        self.ebpf.program(name)
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
