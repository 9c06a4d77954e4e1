//! One pass over a flow table.

use super::{
    super::{
        Error,
        batches::Batches,
        pins::Pins,
        sys,
        tables::{MapFamily, convert, pinned, unreadable},
    },
    Timeouts,
    age::{is_closed, is_expired},
    loads::Loads,
};
use aya::maps::{Array, HashMap, MapData, MapError, MapInfo};
use kpr_abi::{
    Address as _, FlowKey, FlowValue, ServiceKey, StoredService,
    flow::{action, direction, state},
    proto,
};
use std::{
    collections, fmt,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// What a pass found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Entries that stay: two for each flow. One that was seen again while it was about to go is not counted.
    pub live: u32,
    /// Entries that were removed.
    pub expired: u32,
    /// How many entries the table can hold.
    pub capacity: u32,
    /// The destination towards which most SNAT source ports are taken; none if no flow goes to another node.
    pub fullest: Option<SnatUse>,
    /// Whether a flow is open that a pod's packet began on its device.
    pub from_pods: bool,
    /// Whether a flow is open that gets DSR, at either of its two nodes.
    pub encapsulated: bool,
    /// Whether a flow is open that has no frontend: it is gone, or there never was one. None if it wasn't looked for, since the
    /// programs don't look for any either.
    pub lingers: Option<bool>,
}

/// How many source ports are taken towards one backend. Another backend has them all anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnatUse {
    /// The backend.
    pub backend: SocketAddr,
    /// IP protocol number.
    pub proto: u8,
    /// The node's address that the backend sees.
    pub source: IpAddr,
    /// Source ports taken.
    pub ports: u32,
}

/// The backend, as `10.244.1.2:80/TCP`.
impl fmt::Display for SnatUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.backend)?;
        match self.proto {
            proto::TCP => f.write_str("TCP"),
            proto::UDP => f.write_str("UDP"),
            proto::SCTP => f.write_str("SCTP"),
            other => write!(f, "{other}"),
        }
    }
}

pub(super) type Flows<F> =
    HashMap<MapData, FlowKey<<F as kpr_abi::Family>::Addr>, FlowValue<<F as kpr_abi::Family>::Addr>>;
type Services<F> = HashMap<MapData, ServiceKey<<F as kpr_abi::Family>::Addr>, StoredService>;
type Destination<F> = FlowKey<<F as kpr_abi::Family>::Addr>;

/// The flows of one address family.
pub struct FlowTable<F: MapFamily> {
    flows: Flows<F>,
    /// The same map, to read many entries at once.
    batches: OwnedFd,
    capacity: u32,
    services: Services<F>,
    lingering: Array<MapData, u32>,
    /// Connections by backend, where they are counted.
    loads: Option<Loads<F>>,
}

impl<F: MapFamily> FlowTable<F> {
    /// Opens the table that is pinned under `bpffs_root`.
    pub fn open(bpffs_root: &Path) -> Result<Self, Error> {
        let pins = Pins::new(bpffs_root);
        let pin = pins.map(F::FLOWS);
        let capacity = MapInfo::from_pin(&pin).map_err(error::<F>)?.max_entries();
        Ok(Self {
            flows: convert(F::FLOWS, pinned(&pins, F::FLOWS)?)?,
            batches: sys::open_pin(&pin).map_err(unreadable(F::FLOWS))?,
            capacity,
            services: convert(F::SERVICES, pinned(&pins, F::SERVICES)?)?,
            lingering: convert(F::LINGERING, pinned(&pins, F::LINGERING)?)?,
            loads: None,
        })
    }

    /// The same, and sweeps set right how many connections each backend has.
    pub fn open_with_loads(bpffs_root: &Path) -> Result<Self, Error> {
        let loads = Some(Loads::open(&Pins::new(bpffs_root))?);
        Ok(Self {
            loads,
            ..Self::open(bpffs_root)?
        })
    }

    /// Removes flows that have been idle for too long. `now`: as [`flow_clock`] has it.
    pub fn sweep(&mut self, now: u32, timeouts: &Timeouts) -> Result<Sweep, Error> {
        let Self {
            flows,
            batches,
            capacity,
            services,
            lingering,
            loads,
        } = self;
        if let Some(loads) = loads {
            loads.begin()?;
        }
        // Before the table is read: a frontend that goes meanwhile is for the next sweep.
        let mut lingers = lingering.get(&0, 0).is_ok_and(|any| any != 0).then_some(false);
        let (mut from_pods, mut encapsulated) = (false, false);
        let mut batches = Batches::<FlowKey<F::Addr>, FlowValue<F::Addr>>::of(batches.as_fd());
        let shortest = timeouts.shortest();
        let (mut live, mut expired) = (0, 0);
        let mut taken = collections::HashMap::<Destination<F>, u32>::new();
        while let Some(entries) = batches.next().map_err(unreadable(F::FLOWS))? {
            for (key, value) in entries {
                let idle = now.saturating_sub(value.last_seen);
                if idle >= shortest {
                    let twin = flows.get(&key.twin(value), 0).ok();
                    if is_expired(key, value, twin.as_ref(), now, timeouts) {
                        expired += remove::<F>(flows, key, value);
                        continue;
                    }
                }
                live += 1;
                if let Some(loads) = loads
                    && key.direction == direction::FORWARD
                    && !is_closed(value, flows.get(&key.twin(value), 0).ok().as_ref())
                {
                    loads.add(value.backend);
                }
                from_pods |= value.state & state::FROM_POD != 0;
                encapsulated |= value.action == action::TUNNEL || value.state & state::ENCAPSULATED != 0;
                if lingers == Some(false) {
                    lingers = Some(is_lingering::<F>(services, key));
                }
                if key.direction == direction::REPLY && value.action == action::FORWARD {
                    *taken.entry(destination(key)).or_default() += 1;
                }
            }
        }
        if let Some(loads) = loads {
            loads.end()?;
        }
        Ok(Sweep {
            live,
            expired,
            capacity: *capacity,
            from_pods,
            encapsulated,
            lingers,
            fullest: taken
                .into_iter()
                .max_by_key(|(key, ports)| (*ports, *key))
                .map(|(key, ports)| snat_use::<F>(&key, ports)),
        })
    }
}

/// Whether the flow has no frontend.
fn is_lingering<F: MapFamily>(services: &Services<F>, key: &FlowKey<F::Addr>) -> bool {
    let is_frontend = |addr| services.get(&ServiceKey::new(addr, key.dport, key.proto), 0).is_ok();
    key.direction == direction::FORWARD && !is_frontend(key.dst) && !is_frontend(F::Addr::ANY)
}

/// Seconds of the clock that flows are aged by: `CLOCK_MONOTONIC_COARSE`, as `bpf_ktime_get_coarse_ns` reads it.
#[must_use]
pub fn flow_clock() -> u32 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| time.tv_sec());
    u32::try_from(time).unwrap_or(0)
}

/// Removes both entries of a flow, unless a packet was seen since this one was read; returns how many there were.
fn remove<F: MapFamily>(flows: &mut Flows<F>, key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>) -> u32 {
    let is_unchanged = flows.get(key, 0).is_ok_and(|now| now.last_seen == value.last_seen);
    if !is_unchanged {
        return 0;
    }
    remove_both::<F>(flows, key, value)
}

/// Removes both entries of a flow; returns how many there were. The way there goes before the way back, or the
/// flow's source port could be given away while its packets still get it.
pub(super) fn remove_both<F: MapFamily>(
    flows: &mut Flows<F>,
    key: &FlowKey<F::Addr>,
    value: &FlowValue<F::Addr>,
) -> u32 {
    let twin = key.twin(value);
    let (there, back) = if key.direction == direction::FORWARD {
        (key, &twin)
    } else {
        (&twin, key)
    };
    [there, back]
        .map(|key| u32::from(flows.remove(key).is_ok()))
        .iter()
        .sum()
}

/// The part of a reply's key that flows to one backend have in common.
fn destination<A: kpr_abi::Address>(reply: &FlowKey<A>) -> FlowKey<A> {
    FlowKey {
        dport: kpr_abi::Be16::default(),
        ..*reply
    }
}

fn snat_use<F: MapFamily>(key: &FlowKey<F::Addr>, ports: u32) -> SnatUse {
    let ip = |addr: F::Addr| -> IpAddr {
        let addr: F::Ip = addr.into();
        addr.into()
    };
    SnatUse {
        backend: SocketAddr::new(ip(key.src), key.sport.host()),
        proto: key.proto,
        source: ip(key.dst),
        ports,
    }
}

fn error<F: MapFamily>(source: MapError) -> Error {
    Error::Map { map: F::FLOWS, source }
}
