//! Beside a kube-proxy: whose flow a packet is of, and what becomes of flows when Services change hands.

use std::process::Command;

use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, UDP},
};
use kpr_abi::{Reason, V4};
use kpr_node_agent::{
    datapath::{FlowTable, HandOver, Timeouts, Verdict, flow_clock},
    netfilter::{self, Connection, Conntrack, Found, Tuple},
    plan::Op,
};
use std::net::Ipv4Addr;

const BALANCED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 251);

fn load_balancer() -> Frontend {
    Frontend {
        addr: BALANCED,
        port: 443,
        flags: 0,
        ..Frontend::node_port(TCP)
    }
}

/// What there is of a kube-proxy in nftables mode, as far as anybody looks for it.
fn kube_proxy_rules() {
    let status = Command::new("nft").args(["add", "table", "ip", "kube-proxy"]).status();
    assert!(status.unwrap().success());
}

/// Whether a sweep that comes `later` seconds later finds a flow without a frontend.
fn lingers(node: &Rig, later: u32) -> Option<bool> {
    let mut table = FlowTable::<V4>::open(&node.options.bpffs_root).unwrap();
    table.sweep(flow_clock() + later, &Timeouts::default()).unwrap().lingers
}

#[test]
fn a_flow_to_a_load_balancer_outlives_its_frontend_and_new_ones_are_the_stacks() {
    let mut node = Rig::new();
    node.serve(load_balancer(), 0, &[Backend::Local(LOCAL_POD)]);
    let first = Packet::tcp(SYN, (CLIENT, 40_000), (BALANCED, 443));
    assert_eq!(node.ingress(&first.bytes()).packet, first.to((LOCAL_POD, 80)).bytes());

    let key = load_balancer().key();
    node.datapath().v4_mut().apply(&Op::DeleteService { key }).unwrap();
    let later = Packet::tcp(ACK, (CLIENT, 40_000), (BALANCED, 443));
    for _ in 0..2 {
        assert_eq!(
            node.ingress(&later.bytes()).packet,
            later.clone().to((LOCAL_POD, 80)).bytes()
        );
        assert_eq!(lingers(&node, 0), Some(true), "its flow is open");
    }
    let other = Packet::tcp(SYN, (CLIENT, 40_001), (BALANCED, 443)).bytes();
    let seen = node.ingress(&other);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, other));
    assert_eq!(lingers(&node, 2 * 86_400), Some(false), "idle for so long, it is over");
}

#[test]
fn a_packet_that_is_nobodys_is_not_looked_up_among_flows_once_none_lingers() {
    let mut node = Rig::new();
    node.serve(load_balancer(), 0, &[Backend::Local(LOCAL_POD)]);
    let first = Packet::tcp(SYN, (CLIENT, 40_000), (BALANCED, 443));
    assert_eq!(node.ingress(&first.bytes()).packet, first.to((LOCAL_POD, 80)).bytes());
    assert_eq!(
        lingers(&node, 0),
        None,
        "no frontend is gone: there is nothing to look for"
    );
    let key = load_balancer().key();
    node.datapath().v4_mut().apply(&Op::DeleteService { key }).unwrap();
    assert_eq!(node.datapath().frontends_gone(), 1);
    node.datapath().none_lingers().unwrap();
    let later = Packet::tcp(ACK, (CLIENT, 40_000), (BALANCED, 443)).bytes();
    assert_eq!(node.ingress(&later).packet, later);
}

#[test]
fn datagrams_of_flows_that_netfilter_has_stay_with_netfilter() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Local(LOCAL_POD)]);
    let original = Tuple {
        src: (CLIENT, 40_000).into(),
        dst: (NODE, NODE_PORT).into(),
        proto: UDP,
    };
    let reply = Tuple {
        src: (REMOTE_POD, 53).into(),
        dst: (NODE, 61_000).into(),
        proto: UDP,
    };
    let connections = [Connection {
        original,
        reply,
        assured: true,
        seconds_left: 100,
    }];
    assert_eq!(node.datapath().v4_mut().leave(&connections).unwrap(), 1);
    assert_eq!(node.datapath().v4_mut().leave(&connections).unwrap(), 0, "known");

    let theirs = Packet::udp((CLIENT, 40_000), (NODE, NODE_PORT)).bytes();
    let seen = node.ingress(&theirs);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, theirs));
    // One that netfilter has just forgotten, whether or not a sweep has been since.
    let over = Tuple {
        src: (CLIENT, 40_001).into(),
        ..original
    };
    let over = Connection {
        original: over,
        reply,
        assured: false,
        seconds_left: 0,
    };
    assert_eq!(node.datapath().v4_mut().leave(&[over]).unwrap(), 1);
    for port in [40_001, 40_002] {
        let ours = Packet::udp((CLIENT, port), (NODE, NODE_PORT));
        assert_eq!(node.ingress(&ours.bytes()).packet, ours.to((LOCAL_POD, 80)).bytes());
    }
    assert_eq!(node.count(Reason::FlowToLocal), 2);
}

#[test]
fn flows_are_given_to_netfilter_as_they_are_translated() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.serve(load_balancer(), 8, &[Backend::Remote(REMOTE_POD)]);
    let to_local = Packet::tcp(SYN, (CLIENT, 40_000), (NODE, NODE_PORT));
    node.ingress(&to_local.bytes());
    let to_remote = Packet::tcp(SYN, (CLIENT, 40_001), (BALANCED, 443));
    let (snat, _) = endpoints(&node.ingress(&to_remote.bytes()).packet);

    assert_eq!(node.datapath().hand_over().unwrap(), None, "nobody to take them");
    kube_proxy_rules();
    let found = Found {
        nftables: true,
        ..Found::default()
    };
    assert_eq!(netfilter::rules(), found);
    // What netfilter has seen of the first flow: it is in the way of the real one.
    let conntrack = Conntrack::open().unwrap();
    let tuple = |src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16)| Tuple {
        src: src.into(),
        dst: dst.into(),
        proto: TCP,
    };
    let seen = tuple((CLIENT, 40_000), (LOCAL_POD, 80));
    let as_it_is = netfilter::Nat {
        src: seen.src,
        dst: seen.dst,
    };
    conntrack.insert(&seen, &as_it_is).unwrap();
    // What it remembers of connections that rules led elsewhere, long over, whose clients have used their ports again since.
    for original in [
        tuple((CLIENT, 40_000), (NODE, NODE_PORT)),
        tuple((CLIENT, 40_001), (BALANCED, 443)),
    ] {
        let led = netfilter::Nat {
            src: original.src,
            dst: (Ipv4Addr::new(10, 244, 0, 77), 80).into(),
        };
        conntrack.insert(&original, &led).unwrap();
    }

    let given = HandOver { given: 2, refused: 0 };
    assert_eq!(node.datapath().hand_over().unwrap(), Some(given));
    let mut connections: Vec<(Tuple, Tuple)> = conntrack
        .redirected(true, TCP)
        .unwrap()
        .iter()
        .map(|connection| (connection.original, connection.reply))
        .collect();
    connections.sort_by_key(|(original, _)| original.src);
    let expected = [
        ((CLIENT, 40_000), (NODE, NODE_PORT), (LOCAL_POD, 80), (CLIENT, 40_000)),
        ((CLIENT, 40_001), (BALANCED, 443), (REMOTE_POD, 80), snat),
    ];
    let expected = expected.map(|(src, dst, backend, back)| (tuple(src, dst), tuple(backend, back)));
    assert_eq!(connections, expected);

    // Until the programs are gone they leave the flows alone, both ways, and begin no others.
    for packet in [
        Packet::tcp(ACK, (CLIENT, 40_000), (NODE, NODE_PORT)),
        Packet::tcp(ACK, (CLIENT, 40_001), (BALANCED, 443)),
        Packet::tcp(ACK, (REMOTE_POD, 80), snat),
        Packet::tcp(SYN, (CLIENT, 40_002), (NODE, NODE_PORT)),
    ] {
        let bytes = packet.bytes();
        let seen = node.ingress(&bytes);
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, bytes));
    }
    let answer = Packet::tcp(ACK, (LOCAL_POD, 80), (CLIENT, 40_000)).bytes();
    assert_eq!(node.egress(&answer).packet, answer);
}

#[test]
fn rules_are_found_whichever_program_made_them() {
    let _node = Rig::new();
    assert_eq!(netfilter::rules(), Found::default());
    for program in ["iptables-legacy", "iptables-nft"] {
        let on = |arguments: &[&str]| {
            let status = Command::new(program)
                .args(["--wait", "--table", "nat"])
                .args(arguments)
                .status();
            assert!(status.unwrap().success(), "{program} {arguments:?}");
        };
        on(&["--new-chain", "KUBE-SERVICES"]);
        assert!(netfilter::rules().iptables, "{program}");
        on(&["--delete-chain", "KUBE-SERVICES"]);
        assert!(!netfilter::rules().iptables, "{program}");
    }
}
