//! SCTP through the packet programs, over IPv4. Expected packets carry a CRC32c that is computed over all their bytes.

use crate::{
    packet::{IcmpError, Packet, Transport, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SCTP, SNAT},
};
use kpr_abi::{Reason, service::flags};
use kpr_node_agent::{datapath::Verdict, plan::Op};
use std::net::Ipv4Addr;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN_ACK: u8 = 8;

const CLIENT_SIDE: (Ipv4Addr, u16) = (CLIENT, 40_000);
const ASKED: (Ipv4Addr, u16) = (NODE, NODE_PORT);
/// A LoadBalancer address whose port is its backends' too.
const VIP: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 7), 80);

fn init() -> Packet {
    Packet::sctp(INIT, CLIENT_SIDE, ASKED)
}

fn load_balancer() -> Frontend {
    Frontend {
        addr: VIP.0,
        port: VIP.1,
        flags: flags::LOAD_BALANCER,
        ..Frontend::node_port(SCTP)
    }
}

#[test]
fn a_local_backend_sees_the_client_and_its_reply_comes_from_the_node() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    let seen = node.ingress(&init().bytes());
    let expected = init().to((LOCAL_POD, 80)).bytes();
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, expected));
    let answer = Packet::sctp(INIT_ACK, (LOCAL_POD, 80), CLIENT_SIDE);
    let seen = node.egress(&answer.bytes());
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, answer.from(ASKED).bytes()));
    let data = Packet::sctp(DATA, CLIENT_SIDE, ASKED);
    assert_eq!(node.ingress(&data.bytes()).packet, data.to((LOCAL_POD, 80)).bytes());
}

#[test]
fn a_remote_backend_sees_the_node_and_its_reply_is_sent_on() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Remote(REMOTE_POD)]);
    let seen = node.ingress(&init().bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let (src, dst) = endpoints(&seen.packet);
    assert_eq!((src.0, dst), (NODE, (REMOTE_POD, 80)));
    assert!((SNAT.min..=SNAT.max).contains(&src.1), "{src:?}");
    assert_eq!(seen.packet, init().from(src).to(dst).ttl(63).bytes());
    let answer = Packet::sctp(INIT_ACK, dst, src);
    let seen = node.ingress(&answer.bytes());
    let expected = answer.from(ASKED).to(CLIENT_SIDE).ttl(63).bytes();
    assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected));
}

#[test]
fn a_client_port_of_the_snat_range_is_kept_while_it_is_free() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Remote(REMOTE_POD)]);
    let wished = 50_000;
    let first = endpoints(&node.ingress(&init().from((CLIENT, wished)).bytes()).packet);
    assert_eq!(first.0, (NODE, wished));
    let other = Ipv4Addr::new(192, 168, 49, 101);
    let packet = init().from((other, wished));
    let seen = node.ingress(&packet.bytes()).packet;
    let (src, dst) = endpoints(&seen);
    assert_ne!(src.1, wished, "two associations never share a tuple");
    assert_eq!(seen, packet.from(src).to(dst).ttl(63).bytes());
}

#[test]
fn the_checksum_is_right_whatever_the_length_and_however_the_frame_is_padded() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&init().bytes());
    for length in [0, 1, 4, 100, 239, 240, 241, 500, 1_440, 3_000] {
        let payload = (0..length).map(|n: u32| n.to_le_bytes()[0] ^ 0x5a).collect();
        let packet = Packet {
            payload,
            ..Packet::sctp(SHUTDOWN_ACK, CLIENT_SIDE, ASKED)
        };
        // Ethernet's shortest frame is longer than the shortest packet of SCTP.
        let padded = |packet: &Packet| {
            let mut frame = packet.bytes();
            frame.resize(frame.len().max(60), 0xee);
            frame
        };
        let seen = node.ingress(&padded(&packet)).packet;
        assert_eq!(seen, padded(&packet.to((LOCAL_POD, 80))), "{length} bytes of payload");
    }
}

#[test]
fn ip_options_move_the_checksum_not_the_result() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    let packet = Packet {
        options: vec![1; 12],
        ..init()
    };
    assert_eq!(node.ingress(&packet.bytes()).packet, packet.to((LOCAL_POD, 80)).bytes());
}

#[test]
fn a_checksum_that_is_left_to_the_network_card_stays_so() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    let packet = Packet {
        transport: Transport::Sctp {
            chunk: INIT,
            checksum: false,
        },
        ..init()
    };
    assert_eq!(node.ingress(&packet.bytes()).packet, packet.to((LOCAL_POD, 80)).bytes());
}

#[test]
fn a_packet_in_mid_flow_begins_no_flow() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    for chunk in [DATA, INIT_ACK, ABORT, SHUTDOWN_ACK] {
        let bytes = Packet::sctp(chunk, CLIENT_SIDE, ASKED).bytes();
        let seen = node.ingress(&bytes);
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, bytes), "chunk {chunk}");
    }
    assert_eq!(node.count(Reason::PassMidFlow), 4);
}

#[test]
fn an_association_outlives_its_backend_and_an_init_after_its_end_is_balanced_anew() {
    let other = Ipv4Addr::new(10, 244, 0, 9);
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&init().bytes());
    node.serve(Frontend::node_port(SCTP), 10, &[Backend::Local(other)]);
    assert_eq!(
        node.ingress(&init().bytes()).packet,
        init().to((LOCAL_POD, 80)).bytes(),
        "an INIT sent again, while its backend is there"
    );
    node.datapath().v4_mut().apply(&Op::ClearBackend { id: 1 }).unwrap();
    let data = Packet::sctp(DATA, CLIENT_SIDE, ASKED);
    let abort = Packet::sctp(ABORT, CLIENT_SIDE, ASKED);
    for packet in [data, abort] {
        assert_eq!(
            node.ingress(&packet.bytes()).packet,
            packet.clone().to((LOCAL_POD, 80)).bytes()
        );
    }
    assert_eq!(node.ingress(&init().bytes()).packet, init().to((other, 80)).bytes());
}

#[test]
fn without_endpoints_a_node_port_is_the_stacks_and_another_frontend_refuses_in_its_own_name() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[]);
    let bytes = init().bytes();
    let seen = node.ingress(&bytes);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, bytes));
    assert_eq!(node.count(Reason::PassNoEndpoint), 1);

    node.serve(load_balancer(), 10, &[]);
    let nobody = (NODE, SNAT.max);
    let asked = init().to(VIP);
    let led = asked.clone().to(nobody);
    assert_eq!(node.ingress(&asked.bytes()).packet, led.bytes());
    // A node without SCTP answers with ICMP protocol unreachable.
    let unreachable = IcmpError {
        kind: 3,
        code: 2,
        src: NODE,
        dst: CLIENT,
        ttl: 64,
        quoted: led,
    };
    let told = IcmpError {
        src: VIP.0,
        quoted: asked,
        ..unreachable.clone()
    };
    assert_eq!(
        node.egress(&unreachable.bytes()).packet,
        told.bytes_with_stale_inner_checksum(&unreachable)
    );
    // One that has it, with an ABORT.
    let abort = Packet::sctp(ABORT, nobody, CLIENT_SIDE);
    assert_eq!(node.egress(&abort.bytes()).packet, abort.from(VIP).bytes());
}

#[test]
fn a_router_before_the_remote_backend_tells_the_client_even_if_it_quotes_no_checksum() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Remote(REMOTE_POD)]);
    let (src, dst) = endpoints(&node.ingress(&init().bytes()).packet);
    let report = IcmpError {
        kind: 3,
        code: 4,
        src: Ipv4Addr::new(10, 9, 8, 7),
        dst: NODE,
        ttl: 64,
        quoted: Packet::sctp(INIT, src, dst),
    };
    let told = IcmpError {
        src: NODE,
        dst: CLIENT,
        ttl: 63,
        quoted: init(),
        ..report.clone()
    };
    let seen = node.ingress(&report.shortest_bytes());
    assert_eq!(
        (seen.verdict, seen.packet),
        (Verdict::Redirect, told.shortest_bytes()),
        "ports and verification tag"
    );
    assert_eq!(
        node.ingress(&report.bytes()).packet,
        told.bytes_with_stale_inner_checksum(&report)
    );
}

#[test]
fn fragments_are_translated_where_the_ports_stay() {
    let mut node = Rig::new();
    node.serve(load_balancer(), 0, &[Backend::Local(LOCAL_POD)]);
    let mut first = init().to(VIP);
    first.fragment = 0x2000;
    for packet in [first.clone(), first.later_fragment(1_480 / 8)] {
        let seen = node.ingress(&packet.bytes());
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Next, packet.to((LOCAL_POD, 80)).bytes())
        );
    }
}

#[test]
fn a_first_fragment_whose_ports_would_change_is_dropped_and_counted() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(SCTP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&init().bytes());
    let mut first = Packet::sctp(DATA, CLIENT_SIDE, ASKED);
    first.fragment = 0x2000;
    assert_eq!(node.ingress(&first.bytes()).verdict, Verdict::Drop);
    assert_eq!(node.count(Reason::DropSctpFragment), 1);
}

#[test]
fn a_pods_association_with_a_cluster_ip_keeps_the_pods_address() {
    let cluster_ip = (Ipv4Addr::new(10, 96, 0, 20), 3_868);
    let pod = (Ipv4Addr::new(10, 244, 0, 77), 50_123);
    let frontend = Frontend {
        addr: cluster_ip.0,
        port: cluster_ip.1,
        flags: flags::CLUSTER_IP,
        ..Frontend::node_port(SCTP)
    };
    for (backend, addr) in [
        (Backend::Local(LOCAL_POD), LOCAL_POD),
        (Backend::Remote(REMOTE_POD), REMOTE_POD),
    ] {
        let mut node = Rig::new();
        node.serve(frontend, 0, &[backend]);
        let request = Packet::sctp(INIT, pod, cluster_ip);
        let seen = node.pod_sends(&request.bytes());
        let expected = request.to((addr, 80)).bytes();
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, expected));
        let answer = Packet::sctp(INIT_ACK, (addr, 80), pod);
        assert_eq!(
            node.egress(&answer.bytes()).packet,
            answer.from(cluster_ip).bytes(),
            "translated on its way to the pod"
        );
    }
}
