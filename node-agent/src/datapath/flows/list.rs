//! The flows of the packet path, for people: each once, whichever of its two entries are there.

use super::{
    super::{
        Error,
        batches::Batches,
        pins::Pins,
        sys,
        tables::{MapFamily, convert, pinned, unreadable},
    },
    FlowState, Timeouts,
    age::{limit, state_of},
    sweep::{Flows, remove_both},
};
use kpr_abi::{
    Be16, FlowKey, FlowValue,
    flow::{action, direction, state},
};
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
    path,
};

/// A flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// IP protocol number.
    pub protocol: u8,
    /// Where the client sends from.
    pub client: SocketAddr,
    /// What the client asked for; none where netfilter only keeps a tuple from others.
    pub frontend: Option<SocketAddr>,
    /// Where it was led to; none if it is netfilter's, or was refused.
    pub backend: Option<SocketAddr>,
    /// The backend's id when the flow began; 0 if it has none.
    pub backend_id: u32,
    /// What the backend sees in the client's place.
    pub source: Option<SocketAddr>,
    /// How its packets get to the backend.
    pub path: Path,
    /// Its state.
    pub state: FlowState,
    /// Seconds since a packet was seen, of whichever direction.
    pub idle: u32,
    /// How long it may be idle in its state, in seconds.
    pub limit: u32,
    /// One of its two entries was evicted.
    pub is_half: bool,
}

/// How a flow's packets get to their backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Up this node's own stack, to a backend here.
    Local,
    /// Up this node's own stack, from a pod whose sockets the hooks don't see.
    Pod,
    /// Out to the backend's node, from an address and a port of this node.
    Snat,
    /// Out to the backend's node, with the client's address.
    Routed,
    /// Encapsulated to the backend's node, which answers the client itself.
    Dsr,
    /// Come here encapsulated, to a backend here, which answers the client itself.
    DsrLocal,
    /// Nowhere: its frontend had no backend.
    Refused,
    /// As netfilter translates it.
    Netfilter,
    /// Nowhere, for the moment in which it is handed over to netfilter.
    Held,
}

impl Path {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::Local,
        Self::Pod,
        Self::Snat,
        Self::Routed,
        Self::Dsr,
        Self::DsrLocal,
        Self::Refused,
        Self::Netfilter,
        Self::Held,
    ];

    /// As it stands in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pod => "pod",
            Self::Snat => "SNAT",
            Self::Routed => "routed",
            Self::Dsr => "DSR",
            Self::DsrLocal => "DSR-local",
            Self::Refused => "refused",
            Self::Netfilter => "netfilter",
            Self::Held => "held",
        }
    }

    fn of<A: PartialEq>(value: &FlowValue<A>, is_translated: bool) -> Self {
        let has = |bit: u8| value.state & bit != 0;
        match value.action {
            action::YIELD => Self::Netfilter,
            action::HOLD => Self::Held,
            action::TUNNEL => Self::Dsr,
            _ if value.backend == 0 => Self::Refused,
            action::FORWARD if is_translated => Self::Snat,
            action::FORWARD => Self::Routed,
            _ if has(state::ENCAPSULATED) => Self::DsrLocal,
            _ if has(state::FROM_POD) => Self::Pod,
            _ => Self::Local,
        }
    }
}

/// The flows of one address family, to read and to remove.
pub struct FlowList<F: MapFamily> {
    flows: Flows<F>,
    /// The same map, to read many entries at once.
    batches: OwnedFd,
}

impl<F: MapFamily> FlowList<F> {
    /// Opens the table that is pinned under `bpffs_root`; none if no datapath is there.
    pub fn open(bpffs_root: &path::Path) -> Result<Option<Self>, Error> {
        let pins = Pins::new(bpffs_root);
        let pin = pins.map(F::FLOWS);
        if !pin.exists() {
            return Ok(None);
        }
        Ok(Some(Self {
            flows: convert(F::FLOWS, pinned(&pins, F::FLOWS)?)?,
            batches: sys::open_pin(&pin).map_err(unreadable(F::FLOWS))?,
        }))
    }

    /// Hands out all flows, some thousand at a time, for as long as `part` returns true. `now`: as [`flow_clock`](super::flow_clock)
    /// has it. Flows that begin or end meanwhile may be missing.
    pub fn read<E: From<Error>>(&self, now: u32, mut part: impl FnMut(Vec<Flow>) -> Result<bool, E>) -> Result<(), E> {
        let mut batches = Batches::<FlowKey<F::Addr>, FlowValue<F::Addr>>::of(self.batches.as_fd());
        while let Some(entries) = batches.next().map_err(unreadable(F::FLOWS))? {
            let flows = entries.filter_map(|(key, value)| self.flow(key, value, now)).collect();
            if !part(flows)? {
                break;
            }
        }
        Ok(())
    }

    /// Removes both entries of each flow that is `wanted`. Returns how many flows and entries there were.
    pub fn remove(&mut self, now: u32, wanted: impl Fn(&Flow) -> bool) -> Result<(u32, u32), Error> {
        let batches = self.batches.try_clone().map_err(unreadable(F::FLOWS))?;
        let mut batches = Batches::<FlowKey<F::Addr>, FlowValue<F::Addr>>::of(batches.as_fd());
        let (mut removed, mut entries_removed) = (0, 0);
        while let Some(entries) = batches.next().map_err(unreadable(F::FLOWS))? {
            for (key, value) in entries {
                if self.flow(key, value, now).is_some_and(|flow| wanted(&flow)) {
                    let gone = remove_both::<F>(&mut self.flows, key, value);
                    removed += u32::from(gone > 0);
                    entries_removed += gone;
                }
            }
        }
        Ok((removed, entries_removed))
    }

    /// The flow that the entry is of; none if it is told by its other entry.
    fn flow(&self, key: &FlowKey<F::Addr>, value: &FlowValue<F::Addr>, now: u32) -> Option<Flow> {
        let twin = has_twin(value)
            .then(|| self.flows.get(&key.twin(value), 0).ok())
            .flatten();
        Flow::of::<F>(key, value, twin.as_ref(), now)
    }
}

/// Flows of these kinds have one entry.
fn has_twin<A>(value: &FlowValue<A>) -> bool {
    !matches!(value.action, action::YIELD | action::TUNNEL)
}

impl Flow {
    fn of<F: MapFamily>(
        key: &FlowKey<F::Addr>,
        value: &FlowValue<F::Addr>,
        twin: Option<&FlowValue<F::Addr>>,
        now: u32,
    ) -> Option<Self> {
        let is_forward = key.direction == direction::FORWARD;
        if !is_forward && twin.is_some() {
            return None;
        }
        let [(from, to), (new_from, new_to)] = [
            (socket::<F>(key.src, key.sport), socket::<F>(key.dst, key.dport)),
            (socket::<F>(value.src, value.sport), socket::<F>(value.dst, value.dport)),
        ];
        let is_yielded = value.action == action::YIELD;
        // Read the way back from its end: the backend answers what it sees as its client.
        let (client, frontend, source, backend) = match (is_forward, is_yielded) {
            (true, _) => (from, Some(to), new_from, new_to),
            (false, false) => (new_to, Some(new_from), to, from),
            (false, true) => (to, None, to, from),
        };
        let is_translated = source != client;
        let path = Path::of(value, is_translated);
        let is_led = !matches!(path, Path::Netfilter | Path::Refused);
        let last_seen = value.last_seen.max(twin.map_or(0, |twin| twin.last_seen));
        Some(Self {
            protocol: key.proto,
            client,
            frontend,
            backend: is_led.then_some(backend),
            backend_id: value.backend,
            source: (is_translated && matches!(path, Path::Snat | Path::Local | Path::Pod)).then_some(source),
            path,
            state: state_of(key, value, twin),
            idle: now.saturating_sub(last_seen),
            limit: limit(key, value, twin, &Timeouts::default()),
            is_half: has_twin(value) && twin.is_none(),
        })
    }
}

fn socket<F: MapFamily>(addr: F::Addr, port: Be16) -> SocketAddr {
    let ip: F::Ip = addr.into();
    let ip: IpAddr = ip.into();
    SocketAddr::new(ip, port.host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kpr_abi::{Addr4, V4, proto};
    use std::net::Ipv4Addr;

    const NOW: u32 = 1_000;
    const DATA: u8 = state::SEEN | state::PAST_SYN;

    type Entry = (FlowKey<Addr4>, FlowValue<Addr4>);

    fn place(text: &str) -> (Addr4, Be16) {
        let socket: std::net::SocketAddrV4 = text.parse().unwrap();
        (Addr4::from(*socket.ip()), Be16::new(socket.port()))
    }

    /// Both entries of a flow that is translated to `source` and `backend`.
    fn flow(source: &str, action: u8, bits: u8) -> [Entry; 2] {
        let (src, sport) = place("198.51.100.7:40000");
        let (dst, dport) = place("192.168.49.2:30080");
        let (source, source_port) = place(source);
        let (backend, backend_port) = place("10.244.1.2:80");
        let key = FlowKey {
            src,
            dst,
            sport,
            dport,
            proto: proto::TCP,
            direction: direction::FORWARD,
            zero: 0,
        };
        let value = FlowValue {
            src: source,
            dst: backend,
            sport: source_port,
            dport: backend_port,
            backend: 4,
            last_seen: NOW - 20,
            state: bits,
            action,
            device: 0,
            ..FlowValue::default()
        };
        let back = FlowValue {
            src: dst,
            dst: src,
            sport: dport,
            dport: sport,
            last_seen: NOW - 5,
            ..value
        };
        [(key, value), (key.twin(&value), back)]
    }

    const CLIENT: &str = "198.51.100.7:40000";
    const NODE: &str = "192.168.49.2:45001";

    /// What is told of it, if these entries are there.
    fn told(entry: &Entry, twin: Option<&Entry>) -> Option<Flow> {
        Flow::of::<V4>(&entry.0, &entry.1, twin.map(|twin| &twin.1), NOW)
    }

    #[test]
    fn a_flow_is_told_once_and_as_the_same_by_either_of_its_entries() {
        for (source, action) in [(NODE, action::FORWARD), (CLIENT, action::PASS)] {
            let [there, back] = flow(source, action, DATA);
            let whole = told(&there, Some(&back)).unwrap();
            assert_eq!(told(&back, Some(&there)), None);
            assert_eq!(
                (whole.idle, whole.is_half),
                (5, false),
                "as fresh as its fresher direction"
            );

            let half = told(&back, None).unwrap();
            let expected = Flow {
                is_half: true,
                state: half.state,
                limit: half.limit,
                ..whole
            };
            assert_eq!(half, expected);
        }
    }

    #[test]
    fn each_way_to_a_backend_has_its_name() {
        for (name, source, act, bits, has_source) in [
            ("SNAT", NODE, action::FORWARD, DATA, true),
            ("routed", CLIENT, action::FORWARD, DATA, false),
            ("local", CLIENT, action::PASS, DATA, false),
            ("pod", CLIENT, action::PASS, DATA | state::FROM_POD, false),
            ("DSR-local", CLIENT, action::PASS, DATA | state::ENCAPSULATED, false),
            ("DSR", "192.168.49.2:0", action::TUNNEL, DATA, false),
            ("held", CLIENT, action::HOLD, DATA, false),
        ] {
            let [there, back] = flow(source, act, bits);
            let flow = told(&there, Some(&back).filter(|_| act != action::TUNNEL)).unwrap();
            assert_eq!(flow.path.name(), name);
            assert_eq!(flow.source.is_some(), has_source, "{name}");
            assert_eq!(flow.client, CLIENT.parse().unwrap());
            assert_eq!(flow.backend, Some("10.244.1.2:80".parse().unwrap()), "{name}");
            assert!(
                !flow.is_half && flow.state == FlowState::Established,
                "{name}: {flow:?}"
            );
        }
    }

    #[test]
    fn flows_of_netfilter_and_refused_ones_have_no_backend() {
        let [(key, value), _] = flow(CLIENT, action::PASS, state::SEEN);
        let refused = FlowValue { backend: 0, ..value };
        let netfilters = FlowValue {
            action: action::YIELD,
            ..FlowValue::default()
        };
        for (name, value) in [("refused", refused), ("netfilter", netfilters)] {
            let flow = told(&(key, value), None).unwrap();
            assert_eq!((flow.path.name(), flow.backend), (name, None));
            assert_eq!(flow.frontend, Some("192.168.49.2:30080".parse().unwrap()));
        }
        // A tuple of answers that netfilter has, kept from others.
        let kept = FlowKey {
            direction: direction::REPLY,
            ..key
        };
        let flow = told(&(kept, netfilters), None).unwrap();
        assert_eq!(
            (flow.frontend, flow.client.ip()),
            (None, Ipv4Addr::new(192, 168, 49, 2).into())
        );
    }
}
