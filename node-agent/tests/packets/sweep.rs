//! Idle flows are forgotten, in the kernel's own table: which ones, and how long it takes.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    packet::{ACK, FIN, Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, UDP},
};
use aya::maps::{HashMap, Map, MapData};
use kpr_abi::{
    Addr4, Be16, FlowKey, FlowValue, V4,
    flow::{action, direction, state},
    maps,
};
use kpr_node_agent::datapath::{
    FlowTable, Options, Pins, PortRange, Settings, Sizes, Sweep, Timeouts, Verdict, flow_clock,
};

pub(crate) type Flows = HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>>;

/// The node's flow table, as the programs use it.
pub(crate) fn flows(options: &Options) -> Flows {
    let data = MapData::from_pin(Pins::new(&options.bpffs_root).map(maps::FLOWS4)).unwrap();
    Map::from_map_data(data).unwrap().try_into().unwrap()
}

/// A sweep of it as if `later` seconds had passed.
fn sweep(node: &Rig, later: u32) -> Sweep {
    let mut table = FlowTable::<V4>::open(&node.options.bpffs_root).unwrap();
    table.sweep(flow_clock() + later, &Timeouts::default()).unwrap()
}

pub(crate) fn node_with(sizes: Sizes) -> Rig {
    Rig::with(&Settings {
        sizes,
        ..crate::rig::settings()
    })
}

/// Both entries of an established flow to a backend elsewhere, one of very many.
pub(crate) fn flow(number: u32, proto: u8, last_seen: u32) -> [(FlowKey<Addr4>, FlowValue<Addr4>); 2] {
    let there = FlowKey {
        src: Addr4::from(Ipv4Addr::from(0x0a00_0000 + number)),
        dst: NODE.into(),
        sport: Be16::new(40_000),
        dport: Be16::new(NODE_PORT),
        proto,
        direction: direction::FORWARD,
        zero: 0,
    };
    let port = u16::try_from(number % 20_000).unwrap() + 45_000;
    let to = FlowValue {
        src: NODE.into(),
        // Each backend has so many source ports and no more.
        dst: Addr4::from(Ipv4Addr::from(0x0af4_0100 + number / 20_000)),
        sport: Be16::new(port),
        dport: Be16::new(80),
        backend: 1,
        last_seen,
        state: state::SEEN | state::PAST_SYN,
        action: action::FORWARD,
        device: 0,
        ..FlowValue::default()
    };
    let back = FlowValue {
        src: there.dst,
        dst: there.src,
        sport: there.dport,
        dport: there.sport,
        ..to
    };
    [(there, to), (there.twin(&to), back)]
}

#[test]
fn of_two_hundred_thousand_entries_those_go_whose_flows_are_idle_for_too_long() {
    const FLOWS: u32 = 100_000;
    let node = node_with(Sizes {
        flows: 524_288,
        ..crate::rig::sizes()
    });
    let mut table = flows(&node.options);
    let now = flow_clock() + 100_000;
    let mut staying = BTreeMap::new();
    for number in 0..FLOWS {
        let (proto, idle, stays) = match number % 4 {
            0 => (UDP, 300, false),
            1 => (UDP, 100, true),
            2 => (TCP, 3_600, true),
            _ => (TCP, 0, true),
        };
        for (key, value) in flow(number, proto, now - idle) {
            table.insert(key, value, 0).unwrap();
            if stays {
                staying.insert(key, value);
            }
        }
    }
    let mut table = FlowTable::<V4>::open(&node.options.bpffs_root).unwrap();
    let began = Instant::now();
    let swept = table.sweep(now, &Timeouts::default()).unwrap();
    println!("200,000 entries swept in {:?}: {swept:?}", began.elapsed());
    assert_eq!((swept.live, swept.expired, swept.capacity), (150_000, 50_000, 524_288));
    let fullest = swept.fullest.unwrap();
    assert_eq!(
        (fullest.ports, fullest.proto),
        (10_000, TCP),
        "half of its 20,000 flows were TCP"
    );

    let left: BTreeMap<_, _> = flows(&node.options).iter().map(Result::unwrap).collect();
    assert!(left == staying, "exactly the others are left, unchanged");

    let began = Instant::now();
    let again = table.sweep(now, &Timeouts::default()).unwrap();
    println!("150,000 entries swept in {:?}", began.elapsed());
    assert_eq!((again.live, again.expired), (150_000, 0));
}

#[test]
fn a_table_that_changes_while_it_is_swept_loses_no_flow_that_is_in_use() {
    let node = node_with(Sizes {
        flows: 16_384,
        ..crate::rig::sizes()
    });
    let now = flow_clock();
    let mut table = flows(&node.options);
    // As many as it holds: every new flow evicts an old one.
    for number in 0..8_000 {
        for (key, value) in flow(number, UDP, now.saturating_sub(1_000)) {
            table.insert(key, value, 0).unwrap();
        }
    }
    let stop = AtomicBool::new(false);
    let options = &node.options;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut table = flows(options);
            let fresh = (8_000..100_000).cycle().take_while(|_| !stop.load(Ordering::Relaxed));
            for (key, value) in fresh.flat_map(|number| flow(number, UDP, now)) {
                table.insert(key, value, 0).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(2);
        let mut expired = 0;
        while Instant::now() < end {
            let swept = sweep(&node, 0);
            expired += swept.expired;
            assert!(swept.live <= 2 * swept.capacity, "each entry about once: {swept:?}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(expired <= 16_000, "only the old ones go, and each once: {expired}");
    });
    let table = flows(options);
    let idle = table
        .iter()
        .filter_map(Result::ok)
        .filter(|(_, value)| value.last_seen < now);
    assert_eq!(idle.count(), 0, "the old ones are gone");
    assert!(table.keys().count() > 0, "the fresh ones are not");
}

#[test]
fn a_flow_that_ended_gives_its_source_port_back() {
    let mut node = Rig::with(&Settings {
        snat_ports: PortRange {
            min: 60_000,
            max: 60_000,
        },
        ..crate::rig::settings()
    });
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let packet = |flags, port| Packet::tcp(flags, (CLIENT, port), (NODE, NODE_PORT)).bytes();
    let first = node.ingress(&packet(SYN, 1_000));
    let (source, backend) = endpoints(&first.packet);
    node.ingress(&Packet::tcp(SYN | ACK, backend, source).bytes());
    assert_eq!(node.ingress(&packet(SYN, 1_001)).verdict, Verdict::Next, "refused");

    assert_eq!(sweep(&node, 59).expired, 0, "the client may still answer");
    node.ingress(&packet(ACK, 1_000));
    assert_eq!(sweep(&node, 3_600).expired, 0, "established");
    node.ingress(&packet(FIN | ACK, 1_000));
    node.ingress(&Packet::tcp(FIN | ACK, backend, source).bytes());
    assert_eq!(sweep(&node, 59).expired, 0, "the backend remembers it");
    assert_eq!(sweep(&node, 61).expired, 2);
    assert_eq!(node.ingress(&packet(SYN, 1_001)).verdict, Verdict::Redirect);
}

#[test]
fn a_handshake_that_its_client_never_ends_is_forgotten_within_a_minute() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let first = node.ingress(&Packet::tcp(SYN, (CLIENT, 1_000), (NODE, NODE_PORT)).bytes());
    let (source, backend) = endpoints(&first.packet);
    node.ingress(&Packet::tcp(SYN | ACK, backend, source).bytes());
    assert_eq!(sweep(&node, 61).expired, 2);
}
