//! Least connections: of two backends that are drawn, the one that has fewer gets the next.

use crate::{
    packet::{ACK, FIN, Packet, RST, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, UDP, settings},
    socket::{CLUSTER_IP, PORT, Shell, cluster_ip},
};
use aya::maps::{Array, Map, MapData};
use kpr_abi::{V4, maps};
use kpr_node_agent::datapath::{FlowTable, Pins, Settings, Timeouts, flow_clock};
use std::net::{Ipv4Addr, TcpListener};

const IDLE: Backend = Backend::Remote(Ipv4Addr::new(10, 244, 1, 9));

fn counting() -> Settings {
    Settings {
        least_connections: true,
        ..settings()
    }
}

fn loads(node: &Rig) -> Array<MapData, u64> {
    let data = MapData::from_pin(Pins::new(&node.options.bpffs_root).map(maps::LOADS4)).unwrap();
    Map::from_map_data(data).unwrap().try_into().unwrap()
}

/// Connections of the first backends.
fn counted<const N: usize>(node: &Rig) -> [u64; N] {
    let loads = loads(node);
    std::array::from_fn(|index| loads.get(&(u32::try_from(index).unwrap() + 1), 0).unwrap())
}

/// A client's packet to the NodePort, as it goes on.
fn send(node: &mut Rig, proto: u8, flags: u8, client_port: u16) -> Vec<u8> {
    let (from, to) = ((CLIENT, client_port), (NODE, NODE_PORT));
    let packet = if proto == TCP {
        Packet::tcp(flags, from, to)
    } else {
        Packet::udp(from, to)
    };
    node.ingress(&packet.bytes()).packet
}

/// What the backend of a forwarded packet answers.
fn answer(node: &mut Rig, flags: u8, forwarded: &[u8]) {
    let (src, dst) = endpoints(forwarded);
    node.ingress(&Packet::tcp(flags, dst, src).bytes());
}

fn sweep(node: &Rig, later: u32) {
    let mut table = FlowTable::<V4>::open_with_loads(&node.options.bpffs_root).unwrap();
    table.sweep(flow_clock() + later, &Timeouts::default()).unwrap();
}

#[test]
fn a_backend_without_connections_gets_nearly_all_until_it_has_as_many() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    for port in 0..100 {
        send(&mut node, TCP, SYN, 40_000 + port);
    }
    assert_eq!(counted(&node), [100]);
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD), IDLE]);
    for port in 0..60 {
        send(&mut node, TCP, SYN, 41_000 + port);
    }
    // The loaded one gets a connection only if it is drawn twice: a quarter of them, 15 of 60; 32 and more in 1 of 10^5 runs.
    let [loaded, idle] = counted(&node);
    assert_eq!(loaded + idle, 160);
    assert!(idle > 28, "{idle}");
    for port in 0..400 {
        send(&mut node, TCP, SYN, 42_000 + port);
    }
    let [one, other] = counted(&node);
    assert!(one.abs_diff(other) < 12, "{one} and {other} are level now");
}

#[test]
fn a_connection_counts_until_it_is_reset_or_closed_by_both_sides() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let forwarded: Vec<_> = (0..4).map(|n| send(&mut node, TCP, SYN, 40_000 + n)).collect();
    for forwarded in &forwarded {
        answer(&mut node, SYN | ACK, forwarded);
    }
    send(&mut node, TCP, ACK, 40_000);
    assert_eq!(counted(&node), [4]);
    // The client resets the first one, more than once.
    for _ in 0..2 {
        send(&mut node, TCP, RST, 40_000);
        assert_eq!(counted(&node), [3]);
    }
    // The backend resets the second one.
    answer(&mut node, RST | ACK, &forwarded[1]);
    assert_eq!(counted(&node), [2]);
    // Both close the third one.
    send(&mut node, TCP, FIN | ACK, 40_002);
    assert_eq!(counted(&node), [2], "half closed");
    answer(&mut node, FIN | ACK, &forwarded[2]);
    assert_eq!(counted(&node), [1]);
    send(&mut node, TCP, ACK, 40_002);
    assert_eq!(counted(&node), [1]);
    // The same ports again: a new connection.
    send(&mut node, TCP, SYN, 40_002);
    assert_eq!(counted(&node), [2]);
}

#[test]
fn local_backends_connections_are_counted_at_egress() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    send(&mut node, TCP, SYN, 40_000);
    send(&mut node, TCP, SYN, 40_001);
    assert_eq!(counted(&node), [2]);
    // One is refused, and the other accepted.
    for (port, flags) in [(40_000, RST | ACK), (40_001, SYN | ACK)] {
        node.egress(&Packet::tcp(flags, (LOCAL_POD, 80), (CLIENT, port)).bytes());
    }
    assert_eq!(counted(&node), [1]);
}

#[test]
fn flows_that_end_by_time_or_unseen_are_counted_off_by_the_sweep() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Remote(REMOTE_POD)]);
    send(&mut node, UDP, 0, 40_000);
    send(&mut node, UDP, 0, 40_001);
    sweep(&node, 0);
    assert_eq!(counted(&node), [2], "a sweep changes nothing that is right");
    // Of a connection that nobody has, and of a backend that is none.
    loads(&node).set(1, 7, 0).unwrap();
    loads(&node).set(2, 7, 0).unwrap();
    sweep(&node, 0);
    assert_eq!(counted(&node), [2, 0]);
    // Idle for too long.
    sweep(&node, 1_000);
    assert_eq!(counted(&node), [0, 0]);
}

#[test]
fn a_restarted_agent_goes_on_with_the_counts() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    send(&mut node, TCP, SYN, 40_000);
    node.datapath = None;
    // Connections begin and end without an agent, too.
    node.start(&counting());
    assert_eq!(counted(&node), [1]);
    send(&mut node, TCP, SYN, 40_001);
    send(&mut node, TCP, RST, 40_000);
    send(&mut node, TCP, RST, 40_001);
    assert_eq!(counted(&node), [0]);
}

#[test]
fn sockets_are_counted_until_they_are_closed_and_by_the_sweep() {
    let mut node = Rig::with(&counting());
    node.serve(cluster_ip(), 0, &[Backend::Local(NODE)]);
    let _server = TcpListener::bind((NODE, PORT)).unwrap();
    let mut shell = Shell::in_cgroup(&node.options.cgroup_root);
    shell.run(&format!(
        "exec 3<>/dev/tcp/{CLUSTER_IP}/{PORT} 4<>/dev/tcp/{CLUSTER_IP}/{PORT}"
    ));
    assert_eq!(counted(&node), [2]);
    loads(&node).set(1, 0, 0).unwrap();
    sweep(&node, 0);
    assert_eq!(counted(&node), [2]);
    shell.run("exec 3<&-");
    assert_eq!(counted(&node), [1]);
    // The shell ends, and its sockets with it.
    drop(shell);
    assert_eq!(counted(&node), [0]);
}

#[test]
fn without_it_nothing_is_counted() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    send(&mut node, TCP, SYN, 40_000);
    send(&mut node, TCP, RST, 40_000);
    assert_eq!(counted(&node), [0]);
}
