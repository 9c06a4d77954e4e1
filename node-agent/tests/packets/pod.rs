//! Pods whose sockets the socket hooks do not see: their packets are balanced one by one on pod-facing devices.

use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP},
};
use kpr_abi::service::flags;
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
