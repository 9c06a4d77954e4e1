//! What XDP does not finish goes up, byte by byte as it came.

use super::{
    ASKED, ASKED6, CLIENT_SIDE, CLIENT_SIDE6, assert_left, begin, begin_tcp, begin_tcp6, begin6, between, node,
};
use crate::{
    packet::{ACK, IcmpError, Packet, SYN, checksum},
    packet6::{Head, Packet6, error, pseudo_checksum},
    rig::{
        Backend, CLIENT, CLIENT6, Frontend, LOCAL_POD, NODE, NODE_PORT, NODE6, REMOTE_POD, REMOTE_POD6, Rig, SCTP, TCP,
        UDP, run,
    },
    sweep::flows,
};
use kpr_abi::{Reason, flow::action};
use kpr_node_agent::{datapath::Verdict, plan::Op};
use std::{
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

const ETHERNET: usize = 14;

fn request() -> Packet {
    Packet::tcp(ACK, CLIENT_SIDE, ASKED)
}

fn request6() -> Packet6 {
    Packet6::new(Head::Tcp { flags: ACK }, CLIENT_SIDE6, ASKED6)
}

/// With a VLAN tag behind the addresses.
fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    frame
}

/// With the pseudo header's sum in the checksum's place, as a sender leaves it to its network card.
fn unfinished(mut frame: Vec<u8>, at: usize, sum: u16) -> Vec<u8> {
    frame[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
    frame
}

/// The packets of one flow that are no plain ones.
#[test]
fn packets_of_a_flow_that_are_not_plain() {
    let mut node = node();
    let source = begin_tcp(&mut node);
    let plain = request().bytes();
    let length = plain.len() - ETHERNET - 20;
    let pseudo = [
        &CLIENT.octets()[..],
        &NODE.octets(),
        &[0, TCP, 0, u8::try_from(length).unwrap()],
    ]
    .concat();
    let quoted = Packet::tcp(ACK, source, (REMOTE_POD, 80));
    let report = IcmpError {
        kind: 3,
        code: 4,
        src: REMOTE_POD,
        dst: NODE,
        ttl: 60,
        quoted,
    };
    for (name, frame) in [
        (
            "its first fragment",
            Packet {
                fragment: 0x2000,
                ..request()
            }
            .bytes(),
        ),
        ("a later fragment", request().later_fragment(3).bytes()),
        (
            "options",
            Packet {
                options: vec![1, 1, 1, 0],
                ..request()
            }
            .bytes(),
        ),
        ("its hops are used up", request().ttl(1).bytes()),
        ("a VLAN tag", tagged(plain.clone())),
        (
            "for another machine",
            between(plain.clone(), super::OF_CLIENT, [2, 0, 0, 0, 0, 9]),
        ),
        ("for all machines", between(plain.clone(), super::OF_CLIENT, [0xff; 6])),
        (
            "its checksum is left to a network card",
            unfinished(plain.clone(), ETHERNET + 20 + 16, checksum(&pseudo)),
        ),
        (
            "longer than its way allows",
            Packet {
                payload: vec![7; 1_600],
                ..request()
            }
            .bytes(),
        ),
        ("cut in its header of TCP", plain[..ETHERNET + 20 + 12].to_vec()),
        ("an ICMP error about it", report.bytes()),
    ] {
        assert_left(&node.xdp(&frame), &frame, name);
    }
    assert_eq!(node.count(Reason::XdpForwarded), 0);
    node.xdp(&plain);
    assert_eq!(node.count(Reason::XdpForwarded), 1, "a plain one is sent on");
}

#[test]
fn packets_of_a_flow_over_ipv6_that_are_not_plain() {
    let mut node = node();
    let source = begin_tcp6(&mut node);
    let plain = request6().bytes();
    let behind = &plain[ETHERNET + 40..];
    // The sum over the pseudo header alone.
    let zeros = vec![0; behind.len()];
    let sum = pseudo_checksum(CLIENT6, NODE6, TCP, &zeros);
    let quoted = Packet6::new(Head::Tcp { flags: ACK }, source, (REMOTE_POD6, 80)).network();
    for (name, frame) in [
        ("a fragment", request6().with(44, &[0, 0, 0, 1, 0, 0, 0, 9]).bytes()),
        (
            "an extension header",
            request6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]).bytes(),
        ),
        ("its hops are used up", request6().hops(1).bytes()),
        ("a VLAN tag", tagged(plain.clone())),
        (
            "for another machine",
            between(plain.clone(), super::OF_CLIENT, [2, 0, 0, 0, 0, 9]),
        ),
        (
            "its checksum is left to a network card",
            unfinished(plain.clone(), ETHERNET + 40 + 16, sum),
        ),
        ("cut in its header of TCP", plain[..ETHERNET + 40 + 12].to_vec()),
        ("an ICMP error about it", error(2, REMOTE_POD6, NODE6, 60, &quoted)),
    ] {
        assert_left(&node.xdp(&frame), &frame, name);
    }
    assert_eq!(node.count(Reason::XdpForwarded), 0);
    node.xdp(&plain);
    assert_eq!(node.count(Reason::XdpForwarded), 1, "a plain one is sent on");
}

#[test]
fn what_begins_a_flow_and_what_is_no_services() {
    let mut node = node();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let neighbour_solicitation = {
        let mut frame = Packet6::new(Head::Udp, CLIENT_SIDE6, ASKED6).bytes();
        frame[ETHERNET + 6] = 58;
        frame
    };
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 2], &[0x08, 0x06], &[0; 28]].concat();
    for (name, frame) in [
        ("a flow's first packet", Packet::tcp(SYN, CLIENT_SIDE, ASKED).bytes()),
        ("mid-flow, without a flow", Packet::tcp(ACK, CLIENT_SIDE, ASKED).bytes()),
        ("no service's port", Packet::tcp(SYN, CLIENT_SIDE, (NODE, 22)).bytes()),
        (
            "a port of the SNAT range",
            Packet::tcp(ACK, (REMOTE_POD, 80), (NODE, 50_000)).bytes(),
        ),
        (
            "a NodePort that nobody has",
            Packet::udp(CLIENT_SIDE, (NODE, NODE_PORT + 1)).bytes(),
        ),
        (
            "loopback",
            Packet::tcp(ACK, CLIENT_SIDE, (Ipv4Addr::LOCALHOST, NODE_PORT)).bytes(),
        ),
        ("neighbour discovery", neighbour_solicitation),
        ("ARP", arp),
        ("a short frame", vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]),
        ("another protocol", {
            let mut frame = request().bytes();
            frame[ETHERNET + 9] = 47;
            frame
        }),
    ] {
        assert_left(&node.xdp(&frame), &frame, name);
    }
    assert!(flows(&node.options).iter().next().is_none(), "nothing has begun");
}

#[test]
fn flows_that_are_the_stacks_or_tcs() {
    for (name, proto, backend, first, later) in [
        (
            "a local backend's",
            TCP,
            Backend::Local(LOCAL_POD),
            Packet::tcp(SYN, CLIENT_SIDE, ASKED),
            request(),
        ),
        (
            "one of SCTP",
            SCTP,
            Backend::Remote(REMOTE_POD),
            Packet::sctp(1, CLIENT_SIDE, ASKED),
            Packet::sctp(0, CLIENT_SIDE, ASKED),
        ),
    ] {
        let mut node = node();
        node.serve(Frontend::node_port(proto), 0, &[backend]);
        node.ingress(&first.bytes());
        assert!(flows(&node.options).iter().next().is_some(), "{name}: there is a flow");
        assert_left(&node.xdp(&later.bytes()), &later.bytes(), name);
    }
}

/// Makes every entry of the node's flows another one.
fn change(node: &Rig, action: u8) {
    let mut flows = flows(&node.options);
    let entries: Vec<_> = flows.iter().map(Result::unwrap).collect();
    for (key, mut value) in entries {
        value.action = action;
        flows.insert(key, value, 0).unwrap();
    }
}

#[test]
fn flows_that_are_netfilters_now_or_in_a_moment() {
    let mut node = node();
    let source = begin_tcp(&mut node);
    let answer = Packet::tcp(ACK, (REMOTE_POD, 80), source).bytes();
    for action in [action::YIELD, action::HOLD] {
        change(&node, action);
        assert_left(&node.xdp(&request().bytes()), &request().bytes(), "a request");
        assert_left(&node.xdp(&answer), &answer, "an answer");
    }
    change(&node, action::FORWARD);
    node.xdp(&answer);
    assert_eq!(node.count(Reason::XdpForwarded), 1);
}

#[test]
fn datagrams_whose_backend_is_gone_are_balanced_anew() {
    let mut node = node();
    let datagram = Packet::udp(CLIENT_SIDE, ASKED);
    begin(&mut node, UDP, &datagram);
    node.datapath().v4_mut().apply(&Op::ClearBackend { id: 1 }).unwrap();
    assert_left(&node.xdp(&datagram.bytes()), &datagram.bytes(), "IPv4");
    let datagram = Packet6::new(Head::Udp, CLIENT_SIDE6, ASKED6);
    begin6(&mut node, UDP, &datagram);
    node.datapath().v6_mut().apply(&Op::ClearBackend { id: 1 }).unwrap();
    assert_left(&node.xdp(&datagram.bytes()), &datagram.bytes(), "IPv6");
}

#[test]
fn packets_whose_next_hop_is_not_known() {
    let mut node = node();
    begin_tcp(&mut node);
    begin_tcp6(&mut node);
    run("ip neigh del 192.168.49.3 dev eth0");
    run("ip -6 neigh del fd00:49::3 dev eth0");
    let changed = Instant::now();
    for (request, name) in [
        (request().bytes(), "no neighbour"),
        (request6().bytes(), "no neighbour, IPv6"),
    ] {
        // For the rest of a second the flow goes the way that it knows.
        while node.xdp(&request).verdict == Verdict::Transmit {
            assert!(changed.elapsed() < Duration::from_secs(2), "{name}");
            sleep(Duration::from_millis(10));
        }
        assert_left(&node.xdp(&request), &request, name);
    }
    run("ip route del 10.244.1.0/24");
    run("ip route add unreachable 10.244.1.0/24");
    assert_left(&node.xdp(&request().bytes()), &request().bytes(), "no route");
}
