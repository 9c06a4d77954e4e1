//! SCTP through the packet programs, over IPv6.

use crate::{
    packet6::{Head, Packet6, endpoints, error},
    rig::{CLIENT6, LOCAL_POD6, NODE_PORT, NODE6, REMOTE_POD6, Rig, SCTP, SNAT},
};
use kpr_abi::Reason;
use kpr_node_agent::datapath::Verdict;
use std::net::Ipv6Addr;

const DATA: Head = Head::Sctp { chunk: 0 };
const INIT: Head = Head::Sctp { chunk: 1 };
const INIT_ACK: Head = Head::Sctp { chunk: 2 };
const CLIENT_SIDE: (Ipv6Addr, u16) = (CLIENT6, 40_000);
const ASKED: (Ipv6Addr, u16) = (NODE6, NODE_PORT);

#[test]
fn a_local_backend_sees_the_client_and_its_reply_comes_from_the_node() {
    let mut node = Rig::new();
    node.serve6(SCTP, LOCAL_POD6, true);
    let request = Packet6::new(INIT, CLIENT_SIDE, ASKED);
    let seen = node.ingress(&request.bytes());
    let expected = request.to((LOCAL_POD6, 80)).bytes();
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, expected));
    let answer = Packet6::new(INIT_ACK, (LOCAL_POD6, 80), CLIENT_SIDE);
    let seen = node.egress(&answer.bytes());
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, answer.from(ASKED).bytes()));
}

#[test]
fn a_remote_backend_sees_the_node_and_its_reply_is_sent_on() {
    let mut node = Rig::new();
    node.serve6(SCTP, REMOTE_POD6, false);
    let request = Packet6::new(INIT, CLIENT_SIDE, ASKED);
    let seen = node.ingress(&request.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let (src, dst) = endpoints(&seen.packet);
    assert_eq!((src.0, dst), (NODE6, (REMOTE_POD6, 80)));
    assert!((SNAT.min..=SNAT.max).contains(&src.1), "{src:?}");
    assert_eq!(seen.packet, request.from(src).to(dst).hops(63).bytes());
    let answer = Packet6::new(INIT_ACK, dst, src);
    let seen = node.ingress(&answer.bytes());
    let expected = answer.from(ASKED).to(CLIENT_SIDE).hops(63).bytes();
    assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected));
}

#[test]
fn extension_headers_move_the_checksum_not_the_result() {
    let mut node = Rig::new();
    node.serve6(SCTP, LOCAL_POD6, true);
    let packet = Packet6::new(INIT, CLIENT_SIDE, ASKED)
        .with(0, &[0, 0, 1, 4, 0, 0, 0, 0])
        .with(60, &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        node.ingress(&packet.bytes()).packet,
        packet.to((LOCAL_POD6, 80)).bytes()
    );
}

#[test]
fn a_packet_in_mid_flow_begins_no_flow() {
    let mut node = Rig::new();
    node.serve6(SCTP, LOCAL_POD6, true);
    let bytes = Packet6::new(DATA, CLIENT_SIDE, ASKED).bytes();
    let seen = node.ingress(&bytes);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, bytes));
    assert_eq!(node.count(Reason::PassMidFlow), 1);
}

#[test]
fn packet_too_big_on_the_way_to_the_remote_backend_reaches_the_client() {
    let router = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1);
    let mut node = Rig::new();
    node.serve6(SCTP, REMOTE_POD6, false);
    let request = Packet6::new(INIT, CLIENT_SIDE, ASKED);
    let (src, dst) = endpoints(&node.ingress(&request.bytes()).packet);
    // No more than the ports and the verification tag.
    let quoted = |packet: &Packet6| packet.network()[..48].to_vec();
    let seen = node.ingress(&error(2, router, NODE6, 64, &quoted(&Packet6::new(INIT, src, dst))));
    let told = error(2, NODE6, CLIENT6, 63, &quoted(&request));
    assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, told));
}

#[test]
fn a_first_fragment_whose_ports_would_change_is_dropped_and_an_atomic_one_is_whole() {
    let mut node = Rig::new();
    node.serve6(SCTP, LOCAL_POD6, true);
    let packet = |more: u8| Packet6::new(INIT, CLIENT_SIDE, ASKED).with(44, &[0, 0, 0, more, 0, 0, 0x12, 0x34]);
    assert_eq!(
        node.ingress(&packet(0).bytes()).packet,
        packet(0).to((LOCAL_POD6, 80)).bytes()
    );
    assert_eq!(node.ingress(&packet(1).bytes()).verdict, Verdict::Drop);
    assert_eq!(node.count(Reason::DropSctpFragment), 1);
}

#[test]
fn a_refused_association_is_told_by_parameter_problem_where_the_node_has_no_sctp() {
    let mut node = Rig::new();
    node.serve6(SCTP, LOCAL_POD6, true);
    let request = Packet6::new(INIT, CLIENT_SIDE, ASKED);
    node.ingress(&request.bytes());
    // Unrecognized next header, from the pod: RFC 4443 §3.4.
    let sent = Packet6::new(INIT, CLIENT_SIDE, (LOCAL_POD6, 80)).network();
    let mut quoted = request.network();
    quoted[48..52].copy_from_slice(&sent[48..52]);
    let seen = node.egress(&error(4, LOCAL_POD6, CLIENT6, 64, &sent));
    assert_eq!(seen.packet, error(4, NODE6, CLIENT6, 64, &quoted));
}
