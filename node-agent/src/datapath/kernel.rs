//! The datapath of this node as one value: what is loaded, attached and written.

use super::{
    Acceleration, Attachment, Counter, Dsr, Error, HandOver, Options, PortRange, Report, Settings, SocketLb, cgroup,
    checks,
    events::Events,
    family::FamilyTables,
    features::Features,
    intact::{self, MapIds},
    load, local_ports, noted, packet_hooks,
    pins::Pins,
    reserved_ports, run_times, service_counts, source_check,
    tables::{convert, take},
    xdp::{self, Accelerator},
};
use crate::{
    devices::Device,
    netfilter::{self, Conntrack, masquerade},
    takeover::{self, Cleared},
};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use kpr_abi::{Reason, V4, V6, maps, proto};

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
    events: Option<Events>,
    tells: bool,
    socket_groups: [cgroup::Group; 2],
    socket_hooks: Vec<Attachment>,
    packet_hooks: Vec<Attachment>,
    /// The devices that the packet hooks belong on: external and pod-facing.
    devices: (Vec<Device>, Vec<Device>),
    accelerator: Accelerator,
    /// The external devices that XDP belongs on, and how.
    accelerated: (Vec<Device>, Acceleration),
    map_ids: MapIds,
    snat_ports: PortRange,
    node_ports: PortRange,
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
        if !settings.count_services {
            service_counts::forget(&pins)?;
        }
        let v4 = FamilyTables::open(&mut ebpf, &pins)?;
        let v6 = FamilyTables::open(&mut ebpf, &pins)?;
        let counters = convert(maps::COUNTERS, take(&mut ebpf, maps::COUNTERS)?)?;
        let events = settings.events.map(|_| Events::open(&mut ebpf)).transpose()?;
        noted::DSR.set(&options.run_dir, settings.dsr != Dsr::Off)?;
        let accelerator = Accelerator::open(&mut ebpf)?;
        reserved_ports::reserve(settings.snat_ports, options)?;
        local_ports::shorten(settings.snat_ports, options)?;
        packet_hooks::load(&mut ebpf)?;
        let bind_protection = settings.bind_protection;
        let socket_groups = [
            (cgroup::BALANCE, settings.socket_lb != SocketLb::Off),
            (cgroup::PROTECT, bind_protection && features.bind_protection),
        ];
        let socket_hooks = cgroup::attach(&mut ebpf, &options.cgroup_root, &pins, &socket_groups)?;
        let map_ids = MapIds::read(&pins);
        Ok(Self {
            ebpf,
            options: options.clone(),
            pins,
            features,
            bind_protection,
            v4,
            v6,
            counters,
            events,
            tells: settings.events.is_some(),
            socket_groups,
            socket_hooks,
            packet_hooks: Vec::new(),
            devices: (Vec::new(), Vec::new()),
            accelerator,
            accelerated: (Vec::new(), Acceleration::Disabled),
            map_ids,
            snat_ports: settings.snat_ports,
            node_ports: settings.node_ports,
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
        self.devices = (external.to_vec(), pod_facing.to_vec());
        Ok(())
    }

    /// Has packets of exactly these external devices handled by XDP, as far as they can have it; [`Self::report`] says how they have it, or
    /// why not. Without it the programs of [`Self::attach`] do the same.
    pub fn accelerate(&mut self, external: &[Device], wanted: Acceleration) -> Result<(), Error> {
        self.accelerated = (external.to_vec(), wanted);
        self.accelerator.attach(&mut self.ebpf, external, wanted, &self.pins)
    }

    /// What is attached by a link that is pinned no longer, or severed, or runs something else: `PROGRAM (TARGET)`.
    pub(super) fn lost_attachments(&self) -> Vec<String> {
        let device = |name: &str| {
            let (external, pod_facing) = &self.devices;
            external
                .iter()
                .chain(pod_facing)
                .find(|device| device.name == name)
                .map(|device| device.ifindex)
        };
        let is_lost = |attachment: &&Attachment| {
            let name = &attachment.program;
            let pin = match attachment.hook {
                "cgroup" => Some(self.pins.cgroup_link(name)),
                "tcx" => device(&attachment.target).map(|ifindex| self.pins.device_link(ifindex, name)),
                _ => None,
            };
            let id = self.program_id(name);
            pin.zip(id).is_some_and(|(pin, id)| !intact::link_runs(&pin, id))
        };
        let attachments = self.socket_hooks.iter().chain(&self.packet_hooks);
        attachments.filter(is_lost).map(tell).collect()
    }

    /// The same of XDP.
    pub(super) fn lost_acceleration(&self) -> Vec<String> {
        let Some(id) = self.program_id(xdp::PROGRAM) else {
            return Vec::new();
        };
        let links = self.accelerator.links(&self.pins);
        let attachments = self.accelerator.attachments().zip(links);
        attachments
            .filter(|(_, link)| !intact::link_runs(link, id))
            .map(|(attachment, _)| tell(&attachment))
            .collect()
    }

    /// Attaches XDP again where it is lost, and where it could not be attached so far: what was in its way may be gone. Else its maps follow
    /// the devices' addresses.
    pub(super) fn accelerate_again(&mut self, lost: &[String]) -> Result<(), Error> {
        if lost.is_empty() && !self.accelerator.lacks_any() {
            return self.accelerator.tell();
        }
        let (devices, wanted) = self.accelerated.clone();
        self.accelerate(&devices, wanted)
    }

    fn program_id(&self, name: &str) -> Option<u32> {
        Some(self.ebpf.program(name)?.info().ok()?.id())
    }

    /// Attaches everything again where something is lost; filters, of which that cannot be told, in any case.
    pub(super) fn attach_again(&mut self, lost: &[String]) -> Result<(), Error> {
        if !lost.is_empty() && !self.socket_hooks.is_empty() {
            self.socket_hooks = cgroup::attach(
                &mut self.ebpf,
                &self.options.cgroup_root,
                &self.pins,
                &self.socket_groups,
            )?;
        }
        let has_filters = self.packet_hooks.iter().any(|attachment| attachment.hook == "clsact");
        if !self.packet_hooks.is_empty() && (has_filters || !lost.is_empty()) {
            let (external, pod_facing) = self.devices.clone();
            self.attach(&external, &pod_facing)?;
        }
        Ok(())
    }

    /// Pins maps again whose pins are gone, and returns their names.
    pub(super) fn pin_maps_again(&self) -> Result<Vec<&'static str>, Error> {
        self.pins.create().map_err(|source| Error::Io {
            what: format!("make the pin directories under {}", self.options.bpffs_root.display()),
            source,
        })?;
        self.map_ids.pin_again(&self.pins)
    }

    /// What the programs tell, if they were loaded with events; once.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// How many frontends were deleted so far to which flows may go on.
    pub fn frontends_gone(&self) -> u64 {
        self.v4.frontends_gone() + self.v6.frontends_gone()
    }

    /// No flow is left to a frontend that is gone: packets that are nobody's need not be looked up among flows.
    pub fn none_lingers(&mut self) -> Result<(), Error> {
        self.v4.none_lingers()?;
        self.v6.none_lingers()
    }

    /// Whether programs are on pod-facing devices, attached by this agent or the one before it.
    pub fn serves_pods(&self) -> bool {
        packet_hooks::are_on_pods(&self.options)
    }

    /// Whether flows with DSR may be open on this node, from before this start.
    pub fn may_have_dsr(options: &Options) -> bool {
        noted::DSR.may_be(&options.run_dir)
    }

    /// What is attached, how full the maps are, and what happened so far.
    pub fn report(&self) -> Report {
        Report {
            attachments: {
                let hooks = self.socket_hooks.iter().chain(&self.packet_hooks);
                hooks.cloned().chain(self.accelerator.attachments()).collect()
            },
            acceleration: self.accelerator.report(),
            maps: [self.v4.fill(), self.v6.fill()].concat(),
            counters: self.read_counters(),
            features: {
                let chosen = self.features.describe(self.options.tc, self.bind_protection);
                let told = self
                    .tells
                    .then(|| "events: told, because somebody listens (kpr monitor)".to_owned());
                chosen.into_iter().chain(told).collect()
            },
            map_writes: self.map_writes(),
            strict_tunnels: source_check::strict_tunnels(&self.devices.0, &self.options.sysctl_root),
            run_times: run_times::read(&self.ebpf),
        }
    }

    /// Updates and deletes of maps since this process started.
    pub fn map_writes(&self) -> u64 {
        self.v4.map_writes() + self.v6.map_writes()
    }

    /// Leaves flows that netfilter translates to it, if rules of kube-proxy are on this node (connections of other rules are none of
    /// kpr's Services): those of UDP, which a packet doesn't tell from new ones, and those of which an answer comes to a port of
    /// the SNAT range. Returns how many of UDP there are.
    pub fn leave_translated(&mut self) -> Result<u32, Error> {
        if !netfilter::rules().any() {
            return Ok(0);
        }
        let conntrack = Conntrack::open().map_err(Error::Netfilter)?;
        let mut left = 0;
        for proto in [proto::UDP, proto::TCP] {
            let found = |ipv4| conntrack.redirected(ipv4, proto).map_err(Error::Netfilter);
            let (v4, v6) = (found(true)?, found(false)?);
            self.v4.keep_free(&v4, self.snat_ports)?;
            self.v6.keep_free(&v6, self.snat_ports)?;
            if proto == proto::UDP {
                left += self.v4.leave(&v4)? + self.v6.leave(&v6)?;
            }
        }
        Ok(left)
    }

    /// Keeps kube-proxy's source ports out of kpr's for as long as rules of kube-proxy are on this node, and until the last
    /// connection has ended that they translated: the table that does it may be the only one for which the kernel still translates.
    pub fn keep_apart(&self) -> Result<(), Error> {
        let kept = masquerade::is_kept();
        let wanted = netfilter::rules().any() || kept && translates();
        let done = match (wanted, kept) {
            (true, false) => self.keep_nat(),
            (false, true) => masquerade::release(),
            _ => Ok(()),
        };
        done.map_err(Error::Netfilter)
    }

    fn keep_nat(&self) -> Result<(), netfilter::Error> {
        let own = [self.snat_ports, self.node_ports].map(|range| range.min..=range.max);
        match masquerade::free_ports(&own) {
            Some(ports) => masquerade::keep_to(&ports),
            // Every port is kpr's: nothing is left to share.
            None => Ok(()),
        }
    }

    /// Removes what a kube-proxy has left on this node. Connections that its rules have translated go on.
    pub fn clear_kube_proxy(&self) -> Cleared {
        takeover::remove(|| if masquerade::is_kept() { Ok(()) } else { self.keep_nat() })
    }

    /// Begins no flow any more and gives those that there are to netfilter, if rules of kube-proxy are on this node to serve in the
    /// place of the programs. Without, nothing happens: netfilter translates nothing where it has no rule at all.
    pub fn hand_over(&mut self) -> Result<Option<HandOver>, Error> {
        if !netfilter::rules().any() {
            return Ok(None);
        }
        let conntrack = Conntrack::open().map_err(Error::Netfilter)?;
        self.v4.close()?;
        self.v6.close()?;
        let mut outcome = self.v4.give(&conntrack);
        outcome += self.v6.give(&conntrack);
        Ok(Some(outcome))
    }

    /// Detaches everything, removes every pin and puts sysctls back. Works without a running datapath too.
    pub fn remove(options: &Options) -> Result<(), Error> {
        packet_hooks::remove(options)?;
        masquerade::release().map_err(Error::Netfilter)?;
        Pins::remove_all(&options.bpffs_root).map_err(|source| Error::Io {
            what: format!("remove the pins under {}", options.bpffs_root.display()),
            source,
        })?;
        noted::DSR.forget(&options.run_dir)?;
        local_ports::restore(options)?;
        reserved_ports::restore(options)
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

/// An attachment, as repairs name it.
fn tell(attachment: &Attachment) -> String {
    format!("{} ({})", attachment.program, attachment.target)
}

/// Whether netfilter translates any connection, as far as can be told.
fn translates() -> bool {
    let any = || -> Result<bool, netfilter::Error> {
        let conntrack = Conntrack::open()?;
        for proto in [proto::TCP, proto::UDP, proto::SCTP] {
            for ipv4 in [true, false] {
                if !conntrack.redirected(ipv4, proto)?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    any().unwrap_or(true)
}
