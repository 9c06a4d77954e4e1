//! hostPorts: like NodePorts, on ports of their own and on every address of the node.

use crate::{
    packet::{ACK, Packet, SYN},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, Rig, TCP, UDP, settings},
};
use kpr_abi::{Reason, service::flags};
use kpr_node_agent::{datapath::Verdict, plan::Op};
use std::net::Ipv4Addr;

const HOST_PORT: u16 = 8_080;
const CLIENT_SIDE: (Ipv4Addr, u16) = (CLIENT, 40_123);
/// An address of the node that was not chosen for NodePorts.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

fn host_port(proto: u8, addr: Ipv4Addr, port: u16) -> Frontend {
    Frontend {
        addr,
        port,
        flags: flags::HOST_PORT,
        ..Frontend::node_port(proto)
    }
}

/// A node with a second address, which serves no NodePorts.
fn node() -> Rig {
    let mut node = Rig::new();
    let ifindex = node.ifindex;
    let tables = node.datapath().v4_mut();
    tables.set_local(&[(NODE, ifindex)], &[(OTHER, ifindex)]).unwrap();
    node.setup_writes = node.datapath().report().map_writes;
    node
}

/// Whether a packet of the client to here is led to the pod; else it passes untouched.
fn is_led(node: &mut Rig, proto: u8, addr: Ipv4Addr, port: u16) -> bool {
    is_led_from(node, CLIENT_SIDE, proto, (addr, port))
}

fn is_led_from(node: &mut Rig, client: (Ipv4Addr, u16), proto: u8, asked: (Ipv4Addr, u16)) -> bool {
    let packet = if proto == TCP {
        Packet::tcp(SYN, client, asked)
    } else {
        Packet::udp(client, asked)
    };
    let untouched = packet.bytes();
    let seen = node.ingress(&untouched);
    assert_eq!(seen.verdict, Verdict::Next);
    let is_led = seen.packet == packet.to((LOCAL_POD, 80)).bytes();
    assert!(is_led || seen.packet == untouched);
    is_led
}

#[test]
fn every_address_of_the_node_has_the_port_and_nothing_else_has() {
    for proto in [TCP, UDP] {
        let mut node = node();
        node.serve(
            host_port(proto, Ipv4Addr::UNSPECIFIED, HOST_PORT),
            0,
            &[Backend::Local(LOCAL_POD)],
        );
        // Each from a port of its own: two flows of one port to one backend would be told apart by another.
        for (client, (rule, addr, port, served)) in (40_200..).zip([
            ("the node's address", NODE, HOST_PORT, true),
            ("one that serves no NodePorts", OTHER, HOST_PORT, true),
            ("another's address", Ipv4Addr::new(192, 168, 49, 3), HOST_PORT, false),
            ("another port with the same word", NODE, HOST_PORT + 1, false),
            ("another port", NODE, 80, false),
        ]) {
            let is_led = is_led_from(&mut node, (CLIENT, client), proto, (addr, port));
            assert_eq!(is_led, served, "{rule}");
        }
        let other_proto = if proto == TCP { UDP } else { TCP };
        assert!(!is_led(&mut node, other_proto, NODE, HOST_PORT));
    }
}

#[test]
fn the_answer_comes_from_the_port_that_was_asked() {
    let mut node = node();
    node.serve(
        host_port(TCP, Ipv4Addr::UNSPECIFIED, HOST_PORT),
        0,
        &[Backend::Local(LOCAL_POD)],
    );
    assert!(is_led(&mut node, TCP, NODE, HOST_PORT));
    let answer = Packet::tcp(SYN | ACK, (LOCAL_POD, 80), CLIENT_SIDE);
    assert_eq!(
        node.egress(&answer.bytes()).packet,
        answer.from((NODE, HOST_PORT)).bytes()
    );
    assert_eq!(node.count(Reason::FlowToLocal), 1);
}

#[test]
fn node_ports_stay_on_the_addresses_that_were_chosen() {
    let mut node = node();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    assert!(is_led(&mut node, TCP, NODE, NODE_PORT));
    assert!(!is_led(&mut node, TCP, OTHER, NODE_PORT));
}

#[test]
fn a_host_ip_has_the_port_alone() {
    let mut node = node();
    node.serve(host_port(TCP, OTHER, HOST_PORT), 0, &[Backend::Local(LOCAL_POD)]);
    assert!(is_led(&mut node, TCP, OTHER, HOST_PORT));
    assert!(!is_led(&mut node, TCP, NODE, HOST_PORT));
}

#[test]
fn loopback_is_not_for_the_network() {
    let mut node = node();
    let loopback = Ipv4Addr::LOCALHOST;
    let ifindex = node.ifindex;
    node.datapath().v4_mut().set_local(&[(loopback, ifindex)], &[]).unwrap();
    node.serve(host_port(TCP, loopback, HOST_PORT), 0, &[Backend::Local(LOCAL_POD)]);
    node.serve(Frontend::node_port(TCP), 10, &[Backend::Local(LOCAL_POD)]);
    for port in [HOST_PORT, NODE_PORT] {
        assert!(!is_led(&mut node, TCP, loopback, port), "{port}");
    }
}

#[test]
fn the_port_is_nobodys_once_its_last_frontend_is_gone() {
    let mut node = node();
    let tcp = host_port(TCP, Ipv4Addr::UNSPECIFIED, HOST_PORT);
    let udp = host_port(UDP, Ipv4Addr::UNSPECIFIED, HOST_PORT);
    node.serve(tcp, 0, &[Backend::Local(LOCAL_POD)]);
    node.serve(udp, 10, &[Backend::Local(LOCAL_POD)]);
    let before = node.datapath().report().map_writes;
    let delete = |node: &mut Rig, frontend: Frontend| {
        let key = frontend.key();
        node.datapath().v4_mut().apply(&Op::DeleteService { key }).unwrap();
    };
    delete(&mut node, tcp);
    assert!(is_led(&mut node, UDP, NODE, HOST_PORT));
    let packet = Packet::tcp(SYN, (CLIENT, 40_124), (NODE, HOST_PORT)).bytes();
    assert_eq!(node.ingress(&packet).packet, packet);
    delete(&mut node, udp);
    assert_eq!(
        node.datapath().report().map_writes - before,
        4,
        "two frontends and their bits in the filter"
    );
    let packet = Packet::udp((CLIENT, 40_124), (NODE, HOST_PORT)).bytes();
    assert_eq!(node.ingress(&packet).packet, packet);
}

#[test]
fn a_node_port_that_takes_the_port_over_is_found() {
    let mut node = node();
    let port = NODE_PORT + 1;
    node.serve(
        host_port(TCP, Ipv4Addr::UNSPECIFIED, port),
        0,
        &[Backend::Local(LOCAL_POD)],
    );
    let before = node.datapath().report().map_writes;
    let node_port = Frontend {
        port,
        ..Frontend::node_port(TCP)
    };
    node.republish(node_port, 20, vec![1]);
    assert_eq!(node.datapath().report().map_writes - before, 2, "slot, frontend");
    assert!(is_led(&mut node, TCP, NODE, port));
}

#[test]
fn a_restart_adopts_the_ports_without_a_write() {
    let mut node = node();
    node.serve(
        host_port(TCP, Ipv4Addr::UNSPECIFIED, HOST_PORT),
        0,
        &[Backend::Local(LOCAL_POD)],
    );
    node.datapath = None;
    node.start(&settings());
    let before = node.datapath().report().map_writes;
    node.datapath().v4_mut().restore().unwrap();
    assert_eq!(node.datapath().report().map_writes, before);
    assert!(is_led(&mut node, TCP, NODE, HOST_PORT));
}
