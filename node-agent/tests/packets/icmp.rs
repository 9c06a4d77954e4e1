//! ICMP errors about flows: whoever sent the packet learns of it, and sees the packet that it sent.

use crate::{
    packet::{ACK, IcmpError, Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, UDP},
};
use kpr_node_agent::datapath::Verdict;
use std::net::Ipv4Addr;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 7);
const CLIENT_SIDE: (Ipv4Addr, u16) = (CLIENT, 40_000);
const ASKED: (Ipv4Addr, u16) = (NODE, NODE_PORT);

#[test]
fn a_router_before_the_remote_backend_tells_the_client() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let request = Packet::tcp(SYN, CLIENT_SIDE, ASKED);
    let (src, dst) = endpoints(&node.ingress(&request.bytes()).packet);
    for (kind, code) in [(3, 4), (3, 1), (11, 0), (12, 0)] {
        let report = IcmpError {
            kind,
            code,
            src: ROUTER,
            dst: NODE,
            ttl: 64,
            quoted: Packet::tcp(SYN, src, dst),
        };
        let seen = node.ingress(&report.bytes());
        assert_eq!(seen.verdict, Verdict::Redirect, "type {kind} code {code}");
        // The frontend speaks for what is behind it, as with netfilter.
        let told = IcmpError {
            src: NODE,
            dst: CLIENT,
            ttl: 63,
            quoted: request.clone(),
            ..report
        };
        assert_eq!(
            seen.packet,
            told.bytes_with_stale_inner_checksum(&report),
            "type {kind} code {code}"
        );
    }
}

#[test]
fn a_router_before_the_client_tells_the_remote_backend() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let (src, dst) = endpoints(&node.ingress(&Packet::tcp(SYN, CLIENT_SIDE, ASKED).bytes()).packet);
    let report = IcmpError {
        kind: 3,
        code: 4,
        src: ROUTER,
        dst: NODE,
        ttl: 64,
        quoted: Packet::tcp(ACK, ASKED, CLIENT_SIDE),
    };
    let seen = node.ingress(&report.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let told = IcmpError {
        src: NODE,
        dst: REMOTE_POD,
        ttl: 63,
        quoted: Packet::tcp(ACK, dst, src),
        ..report.clone()
    };
    assert_eq!(seen.packet, told.bytes_with_stale_inner_checksum(&report));
}

#[test]
fn a_router_before_the_client_tells_the_local_backend_under_its_own_name() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&Packet::tcp(SYN, CLIENT_SIDE, ASKED).bytes());
    let report = IcmpError {
        kind: 3,
        code: 4,
        src: ROUTER,
        dst: NODE,
        ttl: 64,
        quoted: Packet::tcp(ACK, ASKED, CLIENT_SIDE),
    };
    let seen = node.ingress(&report.bytes());
    assert_eq!(seen.verdict, Verdict::Next);
    let told = IcmpError {
        dst: LOCAL_POD,
        quoted: Packet::tcp(ACK, (LOCAL_POD, 80), CLIENT_SIDE),
        ..report.clone()
    };
    assert_eq!(seen.packet, told.bytes_with_stale_inner_checksum(&report));
}

#[test]
fn a_local_backend_that_refuses_a_datagram_is_not_seen_by_the_client() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Local(LOCAL_POD)]);
    let request = Packet::udp(CLIENT_SIDE, ASKED);
    node.ingress(&request.bytes());
    let quoted = Packet::udp(CLIENT_SIDE, (LOCAL_POD, 80));
    let report = IcmpError {
        kind: 3,
        code: 3,
        src: LOCAL_POD,
        dst: CLIENT,
        ttl: 64,
        quoted,
    };
    let seen = node.egress(&report.bytes());
    assert_eq!(seen.verdict, Verdict::Next);
    let told = IcmpError {
        src: NODE,
        quoted: request,
        ..report.clone()
    };
    assert_eq!(seen.packet, told.bytes_with_stale_inner_checksum(&report));
}

#[test]
fn pings_and_errors_about_other_flows_pass_untouched() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    node.ingress(&Packet::tcp(SYN, CLIENT_SIDE, ASKED).bytes());
    let other = Packet::tcp(SYN, (NODE, 50_000), (REMOTE_POD, 443));
    let report = IcmpError {
        kind: 3,
        code: 4,
        src: ROUTER,
        dst: NODE,
        ttl: 64,
        quoted: other,
    };
    let ping = IcmpError {
        kind: 8,
        code: 0,
        ..report.clone()
    };
    for (name, bytes) in [
        ("an error about another flow", report.bytes()),
        ("an echo request", ping.bytes()),
    ] {
        for seen in [node.ingress(&bytes), node.egress(&bytes)] {
            assert_eq!((seen.verdict, &seen.packet), (Verdict::Next, &bytes), "{name}");
        }
    }
}
