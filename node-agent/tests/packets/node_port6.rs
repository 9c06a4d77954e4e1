//! NodePort over IPv6: the same rules as over IPv4, and what only IPv6 has.

use crate::{
    packet6::{Head, Packet6, endpoints, error},
    rig::{CLIENT6, LOCAL_POD6, NODE_PORT, NODE6, REMOTE_POD6, Rig, SNAT, TCP, UDP},
};
use kpr_node_agent::datapath::Verdict;
use std::net::Ipv6Addr;

const SYN: Head = Head::Tcp { flags: 0x02 };
const SYN_ACK: Head = Head::Tcp { flags: 0x12 };
const CLIENT_SIDE: (Ipv6Addr, u16) = (CLIENT6, 40_000);
const ASKED: (Ipv6Addr, u16) = (NODE6, NODE_PORT);

#[test]
fn a_local_backend_sees_the_client_and_its_reply_comes_from_the_node() {
    let mut node = Rig::new();
    for (proto, there, back) in [(TCP, SYN, SYN_ACK), (UDP, Head::Udp, Head::Udp)] {
        node.serve6(proto, LOCAL_POD6, true);
        let request = Packet6::new(there, CLIENT_SIDE, ASKED);
        let seen = node.ingress(&request.bytes());
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Next, request.to((LOCAL_POD6, 80)).bytes())
        );
        let answer = Packet6::new(back, (LOCAL_POD6, 80), CLIENT_SIDE);
        let seen = node.egress(&answer.bytes());
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, answer.from(ASKED).bytes()));
    }
}

#[test]
fn a_remote_backend_sees_the_node_and_its_reply_is_sent_on() {
    let mut node = Rig::new();
    for (proto, there, back) in [(TCP, SYN, SYN_ACK), (UDP, Head::Udp, Head::Udp)] {
        node.serve6(proto, REMOTE_POD6, false);
        let request = Packet6::new(there, CLIENT_SIDE, ASKED);
        let seen = node.ingress(&request.bytes());
        assert_eq!(seen.verdict, Verdict::Redirect);
        let (src, dst) = endpoints(&seen.packet);
        assert_eq!((src.0, dst), (NODE6, (REMOTE_POD6, 80)));
        assert!((SNAT.min..=SNAT.max).contains(&src.1));
        assert_eq!(seen.packet, request.from(src).to(dst).hops(63).bytes());
        let answer = Packet6::new(back, dst, src);
        let seen = node.ingress(&answer.bytes());
        let expected = answer.from(ASKED).to(CLIENT_SIDE).hops(63).bytes();
        assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected));
    }
}

#[test]
fn extension_headers_move_the_ports_not_the_result() {
    let mut node = Rig::new();
    node.serve6(TCP, LOCAL_POD6, true);
    let hop_by_hop = [0, 0, 1, 4, 0, 0, 0, 0];
    let destination = [0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (port, packet) in [
        (41_000, Packet6::new(SYN, CLIENT_SIDE, ASKED).with(0, &hop_by_hop)),
        (41_001, Packet6::new(SYN, CLIENT_SIDE, ASKED).with(60, &destination)),
        (
            41_002,
            Packet6::new(SYN, CLIENT_SIDE, ASKED)
                .with(0, &hop_by_hop)
                .with(60, &destination),
        ),
    ] {
        let packet = packet.from((CLIENT6, port));
        assert_eq!(
            node.ingress(&packet.bytes()).packet,
            packet.to((LOCAL_POD6, 80)).bytes(),
            "{port}"
        );
    }
}

#[test]
fn fragments_follow_the_first_one_both_ways() {
    let fragment = |offset_and_more: u16| {
        let [high, low] = offset_and_more.to_be_bytes();
        [0, 0, high, low, 0, 0, 0x12, 0x34]
    };
    let mut node = Rig::new();
    node.serve6(UDP, LOCAL_POD6, true);
    let first = Packet6::new(Head::Udp, CLIENT_SIDE, ASKED).with(44, &fragment(1));
    let later = Packet6::new(Head::Later { protocol: UDP }, CLIENT_SIDE, ASKED).with(44, &fragment(180 << 3));
    for packet in [&first, &later] {
        assert_eq!(
            node.ingress(&packet.bytes()).packet,
            packet.clone().to((LOCAL_POD6, 80)).bytes()
        );
    }
    for head in [Head::Udp, Head::Later { protocol: UDP }] {
        let offset = if head == Head::Udp { 1 } else { 180 << 3 };
        let answer = Packet6::new(head, (LOCAL_POD6, 80), CLIENT_SIDE).with(44, &fragment(offset));
        assert_eq!(node.egress(&answer.bytes()).packet, answer.from(ASKED).bytes());
    }
}

#[test]
fn packet_too_big_on_the_way_to_the_remote_backend_reaches_the_client() {
    let router = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1);
    let mut node = Rig::new();
    node.serve6(TCP, REMOTE_POD6, false);
    let request = Packet6::new(SYN, CLIENT_SIDE, ASKED);
    let (src, dst) = endpoints(&node.ingress(&request.bytes()).packet);
    let sent = Packet6::new(SYN, src, dst).network();
    let seen = node.ingress(&error(2, router, NODE6, 64, &sent));
    assert_eq!(seen.verdict, Verdict::Redirect);
    // The transport checksum inside the quotation stays as it was.
    let mut quoted = request.network();
    quoted[56..58].copy_from_slice(&sent[56..58]);
    assert_eq!(seen.packet, error(2, NODE6, CLIENT6, 63, &quoted));
}

#[test]
fn neighbour_discovery_and_what_is_no_services_pass_untouched() {
    let mut node = Rig::new();
    node.serve6(TCP, LOCAL_POD6, true);
    let elsewhere = Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0, 0, 0, 0x77);
    for (name, bytes) in [
        ("neighbour solicitation", error(135, CLIENT6, NODE6, 255, &[0; 24])),
        ("another port", Packet6::new(SYN, CLIENT_SIDE, (NODE6, 22)).bytes()),
        (
            "another node",
            Packet6::new(SYN, CLIENT_SIDE, (elsewhere, NODE_PORT)).bytes(),
        ),
        (
            "TCP in mid-flow",
            Packet6::new(Head::Tcp { flags: 0x10 }, CLIENT_SIDE, ASKED).bytes(),
        ),
        (
            "UDP to a TCP service",
            Packet6::new(Head::Udp, CLIENT_SIDE, ASKED).bytes(),
        ),
    ] {
        for seen in [node.ingress(&bytes), node.egress(&bytes)] {
            assert_eq!((seen.verdict, &seen.packet), (Verdict::Next, &bytes), "{name}");
        }
    }
}
