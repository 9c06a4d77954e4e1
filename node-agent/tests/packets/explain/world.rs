//! Services and packets by chance.

use super::random::Random;
use crate::{
    families::Net,
    rig::{Rig, SCTP, SNAT, TCP, UDP},
};
use kpr_abi::{BackendValue, Be16, ServiceKey, ServiceValue, Slice, TableSize, backend, service::flags};
use kpr_node_agent::{
    datapath::{Probe, Side},
    maglev::Member,
    plan::{AdmittedRange, Op, SlotRun},
};
use std::net::{IpAddr, SocketAddr};

/// Frontends of each family.
const SERVICES: u32 = 16;
/// Ids and slots for each: enough for lists of four, twice, and their tables.
const IDS: u32 = 8;
const SLOTS: u32 = 1_024;
const HOUR: u32 = 3_600;

/// A frontend and its backends.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) id: u32,
    pub(super) address: SocketAddr,
    pub(super) proto: u8,
    pub(super) backends: Vec<(u32, SocketAddr)>,
    pub(super) gone: bool,
}

/// The services of a family.
pub(super) fn services<F: Net>(node: &mut Rig, random: &mut Random) -> Vec<Service> {
    (0..SERVICES).map(|number| service::<F>(node, random, number)).collect()
}

fn service<F: Net>(node: &mut Rig, random: &mut Random, number: u32) -> Service {
    let proto = random.of(&[TCP, TCP, UDP, SCTP]);
    let offset = u16::try_from(number).unwrap();
    let (kind, addr, port) = match number % 5 {
        0 => (flags::NODE_PORT, F::ANY, 30_000 + offset),
        1 => (flags::CLUSTER_IP, F::CLUSTER_IP, 1_000 + offset),
        2 => (flags::LOAD_BALANCER, F::VIP, 443 + offset),
        3 => (flags::EXTERNAL_IP, F::VIP, 8_443 + offset),
        _ => (flags::HOST_PORT, F::ANY, 8_080 + offset),
    };
    let mut value = ServiceValue {
        id: number + 1,
        flags: kind,
        affinity_group: number + 1,
        ..ServiceValue::default()
    };
    for (flag, percent) in [
        (flags::EXTERNAL_LOCAL, 30),
        (flags::INTERNAL_LOCAL, 20),
        (flags::AFFINITY, 30),
        (flags::SOURCE_RANGES, 25),
    ] {
        value.flags |= if random.percent(percent) { flag } else { 0 };
    }
    if value.flags & flags::AFFINITY != 0 {
        value.affinity_seconds = HOUR;
    }
    let members: Members<F> = (0..random.of(&[0, 1, 2, 3, 3, 4]))
        .map(|n| member::<F>(node, random, number, n, proto))
        .collect();
    let is_local = |(_, value): &&(u32, BackendValue<F::Addr>)| value.flags & backend::flags::LOCAL != 0;
    let local: Members<F> = members.iter().filter(is_local).copied().collect();
    let has_table = kind != flags::CLUSTER_IP && random.percent(30);
    let size = TableSize::of(251).unwrap();
    let mut base = number * SLOTS;
    for (list, slice) in [(&members, &mut value.cluster), (&local, &mut value.local)] {
        *slice = put_list::<F>(node, base, list, has_table.then_some(size));
        base += SLOTS / 2;
    }
    value.flags |= if has_table { size.flags() } else { 0 };
    value.flags |= if members.is_empty() { 0 } else { flags::HAS_ENDPOINTS };
    if value.flags & flags::SOURCE_RANGES != 0 {
        for addr in [F::CLIENT, F::CLIENT_POD] {
            if random.percent(60) {
                let range = AdmittedRange {
                    service: value.id,
                    addr: F::Addr::from(addr),
                    bits: u8::try_from(size_of::<F::Addr>() * 8).unwrap(),
                };
                apply::<F>(node, &Op::PutRange { range });
            }
        }
    }
    let key = ServiceKey::new(F::Addr::from(addr), Be16::new(port), proto);
    apply::<F>(node, &Op::PutService { key, value });
    let end = |value: &BackendValue<F::Addr>| {
        let ip: F::Ip = value.addr.into();
        SocketAddr::new(ip.into(), value.port.host())
    };
    Service {
        id: value.id,
        address: SocketAddr::new(addr.into(), port),
        proto,
        backends: members.iter().map(|(id, value)| (*id, end(value))).collect(),
        gone: false,
    }
}

/// Backends of a service, by id.
type Members<F> = Vec<(u32, BackendValue<<F as kpr_abi::Family>::Addr>)>;

/// The `n`-th backend of a service: on this node, or on another, which takes encapsulated packets or does not.
fn member<F: Net>(node: &mut Rig, random: &mut Random, number: u32, n: u32, proto: u8) -> (u32, BackendValue<F::Addr>) {
    let id = number * IDS + n + 1;
    let (addr, flags) = match random.below(4) {
        0 | 1 => (F::pod(u8::try_from(number * 4 + n).unwrap()), backend::flags::LOCAL),
        2 => (nth::<F>(F::REMOTE_POD, id), 0),
        _ => (nth::<F>(F::REMOTE_POD, id), backend::flags::DSR),
    };
    let value = BackendValue {
        addr: F::Addr::from(addr),
        port: Be16::new(80),
        proto,
        flags,
    };
    apply::<F>(node, &Op::PutBackend { id, value });
    (id, value)
}

/// Writes a list, with a table behind it if it is to have one.
fn put_list<F: Net>(node: &mut Rig, base: u32, list: &Members<F>, table: Option<TableSize>) -> Slice {
    let run = match table {
        Some(size) if list.len() > 1 => {
            SlotRun::with_table(size, list.iter().map(|(id, value)| (*id, Member::new::<F>(value))))
        }
        _ => SlotRun::list(list.iter().map(|(id, _)| *id).collect::<Vec<u32>>()),
    };
    if !list.is_empty() {
        apply::<F>(node, &Op::PutSlots { base, run });
    }
    Slice {
        base,
        len: u32::try_from(list.len()).unwrap(),
    }
}

/// A service goes, and the backends that it had.
pub(super) fn remove<F: Net>(node: &mut Rig, service: &mut Service) {
    service.gone = true;
    let addr = F::addr(service.address.ip()).unwrap();
    let key = ServiceKey::new(addr, Be16::new(service.address.port()), service.proto);
    apply::<F>(node, &Op::DeleteService { key });
    for (id, _) in &service.backends {
        apply::<F>(node, &Op::ClearBackend { id: *id });
    }
}

fn apply<F: Net>(node: &mut Rig, op: &Op<F>) {
    F::tables(node).apply(op).unwrap();
}

/// A packet: of a client outside or of a pod, for a frontend, a backend or neither. `answers`: backends, and where those answer to.
pub(super) fn packet<F: Net>(
    random: &mut Random,
    services: &[Service],
    answers: &[(u8, SocketAddr, SocketAddr)],
) -> (Side, Probe) {
    if !answers.is_empty() && random.percent(10) {
        let (protocol, from, to) = answers[random.below(answers.len())];
        let opens = false;
        return (
            Side::Ingress,
            Probe {
                protocol,
                from,
                to,
                opens,
            },
        );
    }
    let service = &services[random.below(services.len())];
    let own = |address: SocketAddr| {
        if address.ip().is_unspecified() {
            F::NODE.into()
        } else {
            address.ip()
        }
    };
    let side = random.of(&[Side::Ingress, Side::Ingress, Side::PodIngress]);
    let stranger: IpAddr = nth::<F>(F::CLIENT, 200).into();
    let mut senders: Vec<IpAddr> = match side {
        Side::Ingress => vec![F::CLIENT.into(), F::CLIENT.into(), stranger],
        _ => vec![F::CLIENT_POD.into(), F::CLIENT_POD.into()],
    };
    if let (Side::PodIngress, Some((_, backend))) = (side, service.backends.first()) {
        senders.push(backend.ip());
    }
    let to = match random.below(12) {
        0 => service
            .backends
            .first()
            .map_or(service.address, |(_, backend)| *backend),
        1 => SocketAddr::new(F::NODE.into(), random.of(&[22, 30_999, SNAT.max])),
        2 => SocketAddr::new(F::VIP.into(), 9),
        _ => service.address,
    };
    let ports = [40_000, 40_001, 40_002, 50_000, 50_001];
    let probe = Probe {
        protocol: if random.percent(95) { service.proto } else { UDP },
        from: SocketAddr::new(random.of(&senders), random.of(&ports)),
        to: SocketAddr::new(own(to), to.port()),
        opens: random.percent(75),
    };
    (side, probe)
}

/// An address that differs in its last byte.
fn nth<F: Net>(addr: F::Ip, n: u32) -> F::Ip {
    let n = u8::try_from(n).unwrap();
    let addr = match addr.into() {
        IpAddr::V4(addr) => {
            let [a, b, c, _] = addr.octets();
            IpAddr::from([a, b, c, n])
        }
        IpAddr::V6(addr) => {
            let mut octets = addr.octets();
            octets[15] = n;
            IpAddr::from(octets)
        }
    };
    F::addr(addr).unwrap().into()
}
