//! The maps that programs write, those of the node and those of the programs that explain, of one address family; and the tables that tell
//! what they found.

use super::{
    super::{
        Error, MapFamily,
        array::Array,
        batches::Batches,
        flows::flow_clock,
        pins::Pins,
        sys,
        tables::{ServiceTables, convert, ignore_absent, look_up, map_error, pinned, take, unreadable},
    },
    story::{Candidate, Choice, Matched, Story},
};
use aya::{
    Ebpf, Pod,
    maps::{self as aya_maps, HashMap, MapData},
};
use kpr_abi::{
    Address as _, AffinityKey, AffinityValue, BackendValue, Be16, Event, FlowKey, FlowValue, Reason, ServiceKey,
    ServiceValue, Slice, event::step, flow::direction, maglev, service::flags, socket::cookie,
};
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
};

type Flows<F> = HashMap<MapData, FlowKey<<F as kpr_abi::Family>::Addr>, FlowValue<<F as kpr_abi::Family>::Addr>>;
type Clients<F> = HashMap<MapData, AffinityKey<<F as kpr_abi::Family>::Addr>, AffinityValue>;

/// More flows towards one backend than it has source ports are copied for nothing.
const MOST_FLOWS: usize = 40_000;

pub(super) struct Scratch<F: MapFamily> {
    tables: ServiceTables<F>,
    flows: Flows<F>,
    affinity: Clients<F>,
    loads: Array<u64>,
    lingering: aya_maps::Array<MapData, u32>,
    live: Pinned<F>,
    /// Whether connections are counted.
    counts: bool,
    /// Copied flows.
    copied: HashSet<FlowKey<F::Addr>>,
    /// Copied clients.
    clients: Vec<(AffinityKey<F::Addr>, AffinityValue)>,
}

/// The node's own, which are only read.
struct Pinned<F: MapFamily> {
    flows: Flows<F>,
    /// The same map, to read all of it.
    all_flows: OwnedFd,
    affinity: Clients<F>,
    loads: Array<u64>,
    lingering: aya_maps::Array<MapData, u32>,
    local: HashMap<MapData, F::Addr, u32>,
}

impl<F: MapFamily> Scratch<F> {
    pub(super) fn open(ebpf: &mut Ebpf, pins: &Pins, counts: bool) -> Result<Self, Error> {
        let live = Pinned {
            flows: convert(F::FLOWS, pinned(pins, F::FLOWS)?)?,
            all_flows: sys::open_pin(&pins.map(F::FLOWS)).map_err(unreadable(F::FLOWS))?,
            affinity: convert(F::AFFINITY, pinned(pins, F::AFFINITY)?)?,
            loads: Array::open(F::LOADS, pinned(pins, F::LOADS)?)?,
            lingering: convert(F::LINGERING, pinned(pins, F::LINGERING)?)?,
            local: convert(F::LOCAL, pinned(pins, F::LOCAL)?)?,
        };
        Ok(Self {
            tables: ServiceTables::open(|name| take(ebpf, name))?,
            flows: convert(F::FLOWS, take(ebpf, F::FLOWS)?)?,
            affinity: convert(F::AFFINITY, take(ebpf, F::AFFINITY)?)?,
            loads: Array::open(F::LOADS, take(ebpf, F::LOADS)?)?,
            lingering: convert(F::LINGERING, take(ebpf, F::LINGERING)?)?,
            live,
            counts,
            copied: HashSet::new(),
            clients: Vec::new(),
        })
    }

    /// Before a question: nothing is left of the last one.
    pub(super) fn forget(&mut self) -> Result<(), Error> {
        clear(F::FLOWS, &mut self.flows)?;
        clear(F::AFFINITY, &mut self.affinity)?;
        self.copied.clear();
        self.clients.clear();
        self.copy_hints()
    }

    /// Before another run for the same packet: what the last one did is undone.
    pub(super) fn undo(&mut self, key: &FlowKey<F::Addr>) -> Result<(), Error> {
        if let Some(made) = look_up(F::FLOWS, &self.flows, key)? {
            for key in [*key, key.twin(&made)] {
                if !self.copied.contains(&key) {
                    remove(F::FLOWS, &mut self.flows, &key)?;
                }
            }
        }
        self.copy_flows(key)?;
        clear(F::AFFINITY, &mut self.affinity)?;
        for (key, value) in &self.clients {
            self.affinity.insert(key, value, 0).map_err(map_error(F::AFFINITY))?;
        }
        self.copy_hints()
    }

    /// Copies what is no entry of the packet's own: whether flows linger, and how many connections backends have.
    fn copy_hints(&mut self) -> Result<(), Error> {
        let lingering = self.live.lingering.get(&0, 0).map_err(map_error(F::LINGERING))?;
        self.lingering.set(0, lingering, 0).map_err(map_error(F::LINGERING))?;
        self.copy_loads()
    }

    fn copy_loads(&self) -> Result<(), Error> {
        if !self.counts {
            return Ok(());
        }
        let mut loads = vec![0; self.live.loads.len() as usize];
        self.live.loads.read(0, &mut loads)?;
        self.loads.write(0, &loads)
    }

    /// Copies what the node knows of flows with a packet's tuple: requests and answers, with their other halves, and a flow of which the
    /// packet would seem to be to its backend.
    pub(super) fn copy_flows(&mut self, key: &FlowKey<F::Addr>) -> Result<(), Error> {
        let answer = FlowKey {
            src: key.dst,
            dst: key.src,
            sport: key.dport,
            dport: key.sport,
            ..*key
        };
        for tuple in [*key, answer] {
            for direction in [direction::FORWARD, direction::REPLY] {
                let key = FlowKey { direction, ..tuple };
                if let Some(value) = self.copy_flow(&key)? {
                    self.copy_flow(&key.twin(&value))?;
                }
            }
        }
        Ok(())
    }

    /// Copies an entry, if the node has it.
    fn copy_flow(&mut self, key: &FlowKey<F::Addr>) -> Result<Option<FlowValue<F::Addr>>, Error> {
        let Some(value) = look_up(F::FLOWS, &self.live.flows, key)? else {
            return Ok(None);
        };
        self.flows.insert(key, value, 0).map_err(map_error(F::FLOWS))?;
        self.copied.insert(*key);
        Ok(Some(value))
    }

    /// The node's own entry of a flow.
    pub(super) fn known(&self, key: &FlowKey<F::Addr>) -> Result<Option<FlowValue<F::Addr>>, Error> {
        look_up(F::FLOWS, &self.live.flows, key)
    }

    /// Whether the flow that a run has made stands where the node has one; that one is copied then, for another run. With `all`, also every
    /// other one of the backend's.
    pub(super) fn copy_taken(&mut self, key: &FlowKey<F::Addr>, all: bool) -> Result<bool, Error> {
        let Some(made) = look_up(F::FLOWS, &self.flows, key)? else {
            return Ok(false);
        };
        let twin = key.twin(&made);
        if self.copied.contains(&twin) || self.copy_flow(&twin)?.is_none() {
            return Ok(false);
        }
        if all {
            self.copy_all_of(&twin)?;
        }
        Ok(true)
    }

    /// Copies every answer of the same backend to the same address of this node.
    fn copy_all_of(&mut self, answer: &FlowKey<F::Addr>) -> Result<(), Error> {
        let mut batches = Batches::<FlowKey<F::Addr>, FlowValue<F::Addr>>::of(self.live.all_flows.as_fd());
        while let Some(entries) = batches.next().map_err(unreadable(F::FLOWS))? {
            for (key, value) in entries {
                let is_such = FlowKey {
                    dport: answer.dport,
                    ..*key
                } == *answer;
                if is_such && self.copied.len() < MOST_FLOWS && self.copied.insert(*key) {
                    self.flows.insert(key, value, 0).map_err(map_error(F::FLOWS))?;
                }
            }
        }
        Ok(())
    }

    /// Copies which backends the client had last of the frontends that this destination may name. `netns`: the namespace of a socket of
    /// this node, which has no address.
    pub(super) fn copy_affinity(
        &mut self,
        to: (F::Addr, Be16, u8),
        client: Option<F::Addr>,
        netns: u64,
    ) -> Result<(), Error> {
        let (addr, port, proto) = to;
        for addr in [addr, F::Addr::ANY] {
            let Some(service) = self.service(&ServiceKey::new(addr, port, proto))? else {
                continue;
            };
            let key = AffinityKey {
                client: client.unwrap_or(F::Addr::ANY),
                netns: cookie(netns),
                group: service.affinity_group,
            };
            if let Some(value) = look_up(F::AFFINITY, &self.live.affinity, &key)? {
                self.affinity.insert(key, value, 0).map_err(map_error(F::AFFINITY))?;
                self.clients.push((key, value));
            }
        }
        Ok(())
    }

    /// Whether the address is the node's own.
    fn is_local(&self, addr: F::Addr) -> Result<bool, Error> {
        look_up(F::LOCAL, &self.live.local, &addr).map(|found| found.is_some())
    }

    fn service(&self, key: &ServiceKey<F::Addr>) -> Result<Option<ServiceValue>, Error> {
        let stored = look_up(F::SERVICES, &self.tables.services, key)?;
        Ok(stored.and_then(|stored| stored.value(key).copied()))
    }

    /// The story of a packet or call to this destination.
    pub(super) fn story(&self, to: (F::Addr, Be16, u8), event: Event, reasons: Vec<Reason>) -> Result<Story, Error> {
        let (addr, port, proto) = to;
        let find = |addr: F::Addr| {
            let service = self.service(&ServiceKey::new(addr, port, proto))?;
            let ip: F::Ip = addr.into();
            let address = SocketAddr::new(ip.into(), port.host());
            Ok::<_, Error>(service.map(|service| (address, service)))
        };
        let is = |wanted: u32| event.steps & wanted != 0;
        // A flow is found before its frontend: that one is what the destination names now.
        let is_known = is(step::FLOW) && !is(step::FRONTEND | step::REPLY);
        let found = if is_known {
            match find(addr)? {
                None if self.is_local(addr)? => find(F::Addr::ANY)?,
                found => found,
            }
        } else if is(step::FRONTEND) {
            // By its number: a call does not tell which of the two it was.
            let found = [find(addr)?, find(F::Addr::ANY)?];
            found
                .into_iter()
                .flatten()
                .find(|(_, service)| service.id == event.service)
        } else {
            None
        };
        let candidates = if is(step::CANDIDATES) {
            self.candidates(Slice {
                base: event.base,
                len: event.len,
            })?
        } else {
            Vec::new()
        };
        Ok(Story {
            choice: self.choice(&event, found.map(|(_, service)| service)),
            frontend: found.map(|(address, service)| Matched {
                address,
                id: service.id,
                flags: service.flags,
                affinity_seconds: service.affinity_seconds,
            }),
            candidates,
            event,
            reasons,
        })
    }

    fn choice(&self, event: &Event, service: Option<ServiceValue>) -> Option<Choice> {
        let is = |wanted: u32| event.steps & wanted != 0;
        if !is(step::CHOSEN) {
            return (is(step::FLOW) && !is(step::BEGAN)).then_some(Choice::Flow);
        }
        let service = service?;
        let now = flow_clock();
        let stuck = self.clients.iter().find(|(key, value)| {
            key.group == service.affinity_group
                && value.backend == event.backend_id
                && now.wrapping_sub(value.last_used) <= service.affinity_seconds
        });
        let list = Slice {
            base: event.base,
            len: event.len,
        };
        let by_table = event.hook == kpr_abi::event::hook::INGRESS || event.hook == kpr_abi::event::hook::POD_INGRESS;
        Some(match stuck {
            Some((_, value)) if service.flags & flags::AFFINITY != 0 => Choice::Affinity {
                idle: now.wrapping_sub(value.last_used),
            },
            _ if list.len == 1 => Choice::Only,
            _ if by_table && maglev::table(service.flags, list).len != 0 => Choice::Maglev,
            _ if self.counts => Choice::FewerConnections,
            _ => Choice::Chance,
        })
    }

    fn candidates(&self, list: Slice) -> Result<Vec<Candidate>, Error> {
        let mut ids = vec![0; list.len as usize];
        let read = self.tables.slots.read(list.base, &mut ids)?;
        ids.truncate(read);
        let candidate = |id: u32| {
            let mut value = [BackendValue::default()];
            self.tables.backends.read(id, &mut value)?;
            let mut connections = [0];
            if self.counts {
                self.live.loads.read(id, &mut connections)?;
            }
            let [value] = value;
            let ip: F::Ip = value.addr.into();
            Ok(Candidate {
                id,
                address: SocketAddr::new(ip.into(), value.port.host()),
                flags: value.flags,
                connections: self.counts.then_some(connections[0]),
            })
        };
        ids.into_iter().map(candidate).collect()
    }
}

/// An address of the family, which it is.
pub(super) fn addr<F: MapFamily>(ip: IpAddr) -> F::Addr {
    F::addr(ip).unwrap_or(F::Addr::ANY)
}

fn clear<K: Pod, V: Pod>(name: &'static str, map: &mut HashMap<MapData, K, V>) -> Result<(), Error> {
    let keys: Vec<K> = map.keys().collect::<Result<_, _>>().map_err(map_error(name))?;
    for key in keys {
        remove(name, map, &key)?;
    }
    Ok(())
}

fn remove<K: Pod, V: Pod>(name: &'static str, map: &mut HashMap<MapData, K, V>, key: &K) -> Result<(), Error> {
    ignore_absent(map.remove(key)).map_err(map_error(name))
}
