//! Pods whose sockets the socket hooks do not see: their packets are balanced one by one on pod-facing devices.

use crate::{
    packet::{ACK, Packet, RST, SYN, endpoints},
    rig::{Backend, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SNAT, TCP, UDP},
};
use kpr_abi::{Reason, service::flags};
use kpr_node_agent::datapath::Verdict;
use std::net::Ipv4Addr;

const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 77);
const POD_SIDE: (Ipv4Addr, u16) = (POD, 50_123);
const ASKED: (Ipv4Addr, u16) = (CLUSTER_IP, 80);

fn cluster_ip(proto: u8) -> Frontend {
    Frontend {
        addr: CLUSTER_IP,
        port: 80,
        flags: flags::CLUSTER_IP,
        ..Frontend::node_port(proto)
    }
}

#[test]
fn a_backend_anywhere_sees_the_pod_and_the_pod_sees_the_cluster_ip() {
    for (backend, addr) in [
        (Backend::Local(LOCAL_POD), LOCAL_POD),
        (Backend::Remote(REMOTE_POD), REMOTE_POD),
    ] {
        for proto in [TCP, UDP] {
            let mut node = Rig::new();
            node.serve(cluster_ip(proto), 0, &[backend]);
            let packet = |src, dst| {
                if proto == TCP {
                    Packet::tcp(SYN, src, dst)
                } else {
                    Packet::udp(src, dst)
                }
            };
            let request = packet(POD_SIDE, ASKED);
            let seen = node.pod_sends(&request.bytes());
            assert_eq!(
                (seen.verdict, seen.packet),
                (Verdict::Next, request.to((addr, 80)).bytes()),
                "no SNAT, up the stack"
            );
            // The pod's port is one of the SNAT range: the reply of a remote backend is nobody's at the external device.
            let answer = packet((addr, 80), POD_SIDE);
            assert_eq!(node.ingress(&answer.bytes()).packet, answer.bytes());
            assert_eq!(
                node.egress(&answer.bytes()).packet,
                answer.from(ASKED).bytes(),
                "translated on its way to the pod"
            );
        }
    }
}

#[test]
fn a_pod_that_meets_itself_is_answered_by_the_cluster_ip() {
    let mut node = Rig::new();
    node.serve(cluster_ip(TCP), 0, &[Backend::Local(POD)]);
    let request = Packet::tcp(SYN, POD_SIDE, ASKED);
    let seen = node.pod_sends(&request.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let (src, dst) = endpoints(&seen.packet);
    assert_eq!(
        (src.0, dst),
        (NODE, (POD, 80)),
        "its own address would make it answer itself"
    );
    assert!((SNAT.min..=SNAT.max).contains(&src.1));
    let answer = Packet::tcp(SYN | ACK, (POD, 80), src);
    let seen = node.pod_sends(&answer.bytes());
    let expected = answer.from(ASKED).to(POD_SIDE).ttl(63).bytes();
    assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected));
}

#[test]
fn the_internal_policy_counts_for_cluster_ips_and_the_external_one_not_for_pods() {
    let mut node = Rig::new();
    let internal = Frontend {
        flags: flags::CLUSTER_IP | flags::INTERNAL_LOCAL,
        ..cluster_ip(TCP)
    };
    node.serve(internal, 0, &[Backend::Remote(REMOTE_POD), Backend::Local(LOCAL_POD)]);
    node.serve(
        Frontend::node_port(TCP).external_local(),
        10,
        &[Backend::Remote(REMOTE_POD)],
    );
    for port in 40_000..40_020 {
        let packet = Packet::tcp(SYN, (POD, port), ASKED);
        assert_eq!(endpoints(&node.pod_sends(&packet.bytes()).packet).1.0, LOCAL_POD);
    }
    let packet = Packet::tcp(SYN, POD_SIDE, (NODE, NODE_PORT));
    assert_eq!(
        node.pod_sends(&packet.bytes()).packet,
        packet.to((REMOTE_POD, 80)).bytes(),
        "short-circuit"
    );
}

#[test]
fn a_cluster_ip_without_endpoints_is_refused_in_its_own_name() {
    let mut node = Rig::new();
    node.serve(cluster_ip(TCP), 0, &[]);
    let request = Packet::tcp(SYN, POD_SIDE, ASKED);
    let nobody = (NODE, SNAT.max);
    assert_eq!(node.pod_sends(&request.bytes()).packet, request.to(nobody).bytes());
    let reset = Packet::tcp(RST | ACK, nobody, POD_SIDE);
    assert_eq!(node.egress(&reset.bytes()).packet, reset.from(ASKED).bytes());
    assert_eq!(node.count(Reason::RefuseNoEndpoint), 1);
}

#[test]
fn what_is_no_services_passes_untouched() {
    let mut node = Rig::new();
    node.serve(cluster_ip(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    for packet in [
        Packet::tcp(SYN, POD_SIDE, (CLUSTER_IP, 81)),
        Packet::tcp(SYN, POD_SIDE, (REMOTE_POD, 80)),
        Packet::udp(POD_SIDE, ASKED),
        Packet::tcp(ACK, POD_SIDE, ASKED),
    ] {
        let bytes = packet.bytes();
        let seen = node.pod_sends(&bytes);
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, bytes));
    }
}
