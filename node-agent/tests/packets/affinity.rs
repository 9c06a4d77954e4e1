//! Session affinity of clients outside: new connections of a client go where its last one went.

use crate::{
    packet::{Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, NODE, NODE_PORT, Rig, TCP},
};
use std::{
    collections::HashSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

const POD_COUNT: u8 = 8;
const HOUR: u32 = 3_600;
const GROUP: u32 = 7;

fn pod(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, 10 + n)
}

fn pods() -> Vec<Backend> {
    (0..POD_COUNT).map(|n| Backend::Local(pod(n))).collect()
}

/// Where a new connection of this client, to this port, goes.
fn connect(node: &mut Rig, client: Ipv4Addr, source_port: u16, port: u16) -> Ipv4Addr {
    let packet = Packet::tcp(SYN, (client, source_port), (NODE, port));
    endpoints(&node.ingress(&packet.bytes()).packet).1.0
}

#[test]
fn a_client_sticks_to_its_backend_and_other_clients_to_theirs() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP).affinity(HOUR, GROUP), 0, &pods());
    let mut chosen = HashSet::new();
    for client in 100..132 {
        let client = Ipv4Addr::new(192, 168, 49, client);
        let first = connect(&mut node, client, 40_000, NODE_PORT);
        for port in 40_001..40_015 {
            assert_eq!(connect(&mut node, client, port, NODE_PORT), first);
        }
        chosen.insert(first);
    }
    // 32 clients over 8 pods: all on fewer than 4 less than once in 10^9 runs.
    assert!(chosen.len() >= 4, "clients are spread: {chosen:?}");
}

#[test]
fn frontends_of_one_port_share_affinity_and_other_ports_do_not() {
    let mut node = Rig::new();
    let other = |port, group| {
        Frontend {
            port,
            ..Frontend::node_port(TCP)
        }
        .affinity(HOUR, group)
    };
    node.serve(Frontend::node_port(TCP).affinity(HOUR, GROUP), 0, &pods());
    // The same backends at the same ids: only the value differs.
    node.serve(other(NODE_PORT + 1, GROUP), 0, &pods());
    node.serve(other(NODE_PORT + 2, GROUP + 1), 0, &pods());
    let mut elsewhere = 0;
    for client in 100..132 {
        let client = Ipv4Addr::new(192, 168, 49, client);
        let first = connect(&mut node, client, 40_000, NODE_PORT);
        assert_eq!(connect(&mut node, client, 40_000, NODE_PORT + 1), first);
        elsewhere += u32::from(connect(&mut node, client, 40_000, NODE_PORT + 2) != first);
    }
    assert!(elsewhere > 0, "another port has its own affinity");
}

#[test]
fn affinity_ends_when_the_client_was_idle_for_longer_than_the_time_out() {
    const TIME_OUT: Duration = Duration::from_secs(1);
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP).affinity(1, GROUP), 0, &pods());
    let mut moved = 0;
    let mut port = 40_000;
    for _ in 0..3 {
        let first = connect(&mut node, CLIENT, port, NODE_PORT);
        // The clock of affinity counts whole seconds: idle means more than the time-out and one tick.
        let idle = Instant::now() + TIME_OUT + Duration::from_millis(1_100);
        std::thread::sleep(idle.saturating_duration_since(Instant::now()));
        moved += u32::from(connect(&mut node, CLIENT, port + 1, NODE_PORT) != first);
        port += 2;
    }
    // Each time it moves with a probability of 7/8: never in three less than once in 500 runs; so look further then.
    while moved == 0 && port < 40_040 {
        let first = connect(&mut node, CLIENT, port, NODE_PORT);
        std::thread::sleep(TIME_OUT + Duration::from_millis(1_100));
        moved += u32::from(connect(&mut node, CLIENT, port + 1, NODE_PORT) != first);
        port += 2;
    }
    assert!(moved > 0, "an idle client is balanced anew");
}

#[test]
fn without_affinity_a_client_is_spread() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &pods());
    let chosen: HashSet<_> = (40_000..40_050)
        .map(|port| connect(&mut node, CLIENT, port, NODE_PORT))
        .collect();
    assert!(chosen.len() > 1);
}
