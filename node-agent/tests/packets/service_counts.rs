//! Connections, packets and bytes by frontend, where they are asked for.

use crate::{
    command::kpr,
    dsr::{ASKED_THERE, CLIENT_SIDE, OTHER, encapsulated},
    families::{ACK, Net, Node, SYN, SYN_ACK, node_port, vip},
    packet::{self, Packet, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, UDP, settings},
    socket::{CLUSTER_IP, PORT, Shell, cluster_ip},
    xdp,
};
use kpr_abi::{ServiceCount, V4, V6, maps, service::flags};
use kpr_node_agent::{
    datapath::{Dsr, DsrDispatch, Settings, Verdict, service_counts},
    model::Protocol,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

fn counting() -> Settings {
    Settings {
        count_services: true,
        ..settings()
    }
}

/// The NodePort of either family.
fn any<F: Net>() -> SocketAddr {
    SocketAddr::new(F::ANY.into(), NODE_PORT)
}

/// Has these frontends counted, of TCP, and no others.
fn count(node: &mut Rig, frontends: &[SocketAddr]) {
    let frontends: Vec<_> = frontends.iter().map(|frontend| (*frontend, Protocol::Tcp)).collect();
    node.datapath().v4_mut().count(&frontends).unwrap();
    node.datapath().v6_mut().count(&frontends).unwrap();
}

/// What is counted of a frontend of TCP; none if it is not.
fn counted(node: &Rig, frontend: SocketAddr) -> Option<ServiceCount> {
    let counts = service_counts(&node.options.bpffs_root).unwrap();
    counts.get(&(frontend, Protocol::Tcp)).copied()
}

/// Bytes of a frame's packet.
fn bytes(frame: &[u8]) -> u64 {
    frame.len() as u64 - 14
}

/// The counts of flows that had as many packets, all of one length.
fn packets(flows: u64, requests: u64, replies: u64, length: u64) -> ServiceCount {
    ServiceCount {
        flows,
        sockets: 0,
        request_packets: requests,
        request_bytes: requests * length,
        reply_packets: replies,
        reply_bytes: replies * length,
    }
}

#[test]
fn a_flow_with_a_remote_backend_is_counted_where_it_comes_in() {
    remote::<V4>();
    remote::<V6>();
}

fn remote<F: Net>() {
    let mut node = Node::<F>::with(&counting());
    node.serve_one(node_port::<F>(TCP), false);
    count(&mut node.rig, &[any::<F>()]);
    let (client, asked) = ((F::CLIENT, 40_000), (F::NODE, NODE_PORT));
    let request = F::frame(SYN, client, asked, 64);
    let sent = node.rig.ingress(&request).packet;
    // Again, as a client does that hears nothing.
    node.rig.ingress(&request);
    let (from, to) = F::endpoints(&sent);
    node.rig.ingress(&F::frame(SYN_ACK, to, from, 64));
    node.rig.ingress(&F::frame(ACK, client, asked, 64));
    assert_eq!(
        counted(&node.rig, any::<F>()),
        Some(packets(1, 3, 1, bytes(&request))),
        "{}",
        F::NAME
    );
}

#[test]
fn answers_of_a_local_backend_are_counted_where_they_leave() {
    local::<V4>();
    local::<V6>();
}

fn local<F: Net>() {
    let mut node = Node::<F>::with(&counting());
    let service = vip::<F>(TCP, flags::LOAD_BALANCER);
    node.serve_one(service, true);
    let frontend = SocketAddr::new(F::VIP.into(), 443);
    count(&mut node.rig, &[frontend]);
    let request = F::frame(SYN, (F::CLIENT, 40_000), (F::VIP, 443), 64);
    node.rig.ingress(&request);
    node.rig
        .egress(&F::frame(SYN_ACK, (F::LOCAL_POD, 80), (F::CLIENT, 40_000), 64));
    // Nobody's.
    node.rig
        .egress(&F::frame(SYN_ACK, (F::LOCAL_POD, 80), (F::CLIENT, 40_001), 64));
    assert_eq!(
        counted(&node.rig, frontend),
        Some(packets(1, 1, 1, bytes(&request))),
        "{}",
        F::NAME
    );
}

#[test]
fn xdp_counts_as_tc_does() {
    let mut node = xdp::node_with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    count(&mut node, &[any::<V4>()]);
    let request = Packet::tcp(packet::SYN, CLIENT_SIDE, (NODE, NODE_PORT)).bytes();
    let (from, to) = endpoints(&node.ingress(&request).packet);
    let answer = Packet::tcp(packet::SYN | packet::ACK, to, from).bytes();
    assert_eq!(node.xdp(&answer).verdict, Verdict::Transmit);
    let more = Packet::tcp(packet::ACK, CLIENT_SIDE, (NODE, NODE_PORT)).bytes();
    node.xdp(&more);
    assert_eq!(counted(&node, any::<V4>()), Some(packets(1, 2, 1, bytes(&request))));
}

#[test]
fn each_node_of_a_flow_with_dsr_counts_what_it_sees_first() {
    let settings = Settings {
        dsr: Dsr::All,
        ..counting()
    };
    // The node that the client asks.
    let mut node = Rig::with(&settings);
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    count(&mut node, &[any::<V4>()]);
    let request = Packet::tcp(packet::SYN, CLIENT_SIDE, (NODE, NODE_PORT)).bytes();
    node.ingress(&request);
    node.ingress(&Packet::tcp(packet::ACK, CLIENT_SIDE, (NODE, NODE_PORT)).bytes());
    assert_eq!(counted(&node, any::<V4>()), Some(packets(1, 2, 0, bytes(&request))));
    drop(node);

    // The backend's.
    let mut node = Rig::with(&settings);
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    count(&mut node, &[any::<V4>()]);
    for flags in [packet::SYN, packet::ACK] {
        let inner = Packet::tcp(flags, CLIENT_SIDE, ASKED_THERE).ttl(63).bytes();
        node.ingress(&encapsulated(DsrDispatch::Geneve, OTHER, LOCAL_POD, 0xc001, &inner));
        node.egress(&Packet::tcp(flags | packet::ACK, (LOCAL_POD, 80), CLIENT_SIDE).bytes());
    }
    assert_eq!(counted(&node, any::<V4>()), Some(packets(0, 0, 2, bytes(&request))));
}

#[test]
fn whoever_asks_for_a_frontend_sees_what_was_counted() {
    let asked = format!("service get 0.0.0.0:{NODE_PORT}");
    let page = |node: &Rig| String::from_utf8(kpr(node, &asked).stdout).unwrap();
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    assert!(!page(&node).contains("Counted:"), "nobody has it counted");
    count(&mut node, &[any::<V4>()]);
    let mut sent = 0;
    for port in [40_000, 40_001] {
        let request = Packet::tcp(packet::SYN, (CLIENT, port), (NODE, NODE_PORT)).bytes();
        node.ingress(&request);
        sent += bytes(&request);
    }
    let told = page(&node);
    let line =
        format!("Counted:        0 sockets, 2 flows: 2 packets ({sent} B) of requests, 0 packets (0 B) of replies");
    assert!(told.lines().any(|told| told == line), "{told}");
    let all: serde_json::Value = serde_json::from_slice(&kpr(&node, "service list -o json").stdout).unwrap();
    assert_eq!(all[0]["counted"]["requests"]["bytes"], sent, "{all}");
    let all: serde_json::Value = serde_json::from_slice(&kpr(&node, "maps -o json").stdout).unwrap();
    let mut pinned = all.as_array().unwrap().iter();
    let map = pinned.find(|map| map["name"] == maps::SERVICE_COUNTS4).unwrap();
    assert_eq!(map["entries"], 1, "{map}");
}

#[test]
fn sockets_are_counted_by_whom_they_asked() {
    let mut node = Rig::with(&counting());
    node.serve(cluster_ip(), 0, &[Backend::Local(NODE)]);
    node.serve(Frontend::node_port(TCP), 16, &[Backend::Local(NODE)]);
    let frontend = SocketAddr::from((CLUSTER_IP, PORT));
    count(&mut node, &[frontend, any::<V4>()]);
    let _server = TcpListener::bind((NODE, PORT)).unwrap();
    let mut shell = Shell::in_cgroup(&node.options.cgroup_root);
    shell.run(&format!(
        "exec 3<>/dev/tcp/{CLUSTER_IP}/{PORT} 4<>/dev/tcp/{CLUSTER_IP}/{PORT} 5<>/dev/tcp/{NODE}/{PORT} 6<>/dev/tcp/{NODE}/{NODE_PORT}"
    ));
    let sockets = |sockets| {
        Some(ServiceCount {
            sockets,
            ..ServiceCount::default()
        })
    };
    assert_eq!(counted(&node, frontend), sockets(2));
    assert_eq!(counted(&node, any::<V4>()), sockets(1));
}

#[test]
fn refusals_and_what_nobody_asks_for_are_not_counted() {
    let mut node = Rig::with(&counting());
    let empty = Frontend {
        addr: CLUSTER_IP,
        port: PORT,
        flags: flags::LOAD_BALANCER,
        ..Frontend::node_port(TCP)
    };
    node.serve(empty, 0, &[]);
    node.serve(Frontend::node_port(TCP), 16, &[Backend::Remote(REMOTE_POD)]);
    node.serve(Frontend::node_port(UDP), 32, &[Backend::Remote(REMOTE_POD)]);
    let refusing = SocketAddr::from((CLUSTER_IP, PORT));
    count(&mut node, &[refusing]);
    node.ingress(&Packet::tcp(packet::SYN, CLIENT_SIDE, (CLUSTER_IP, PORT)).bytes());
    node.ingress(&Packet::tcp(packet::SYN, CLIENT_SIDE, (NODE, NODE_PORT)).bytes());
    assert_eq!(counted(&node, refusing), Some(ServiceCount::default()));
    assert_eq!(counted(&node, any::<V4>()), None);

    // From now on; the protocol is part of a frontend.
    count(&mut node, &[any::<V4>()]);
    node.ingress(&Packet::udp((CLIENT, 40_002), (NODE, NODE_PORT)).bytes());
    assert_eq!(counted(&node, any::<V4>()), Some(ServiceCount::default()));
    assert_eq!(counted(&node, refusing), None);
}

/// A frontend on an address of its own that nobody counts is not taken for the one on any address with its port.
#[test]
fn a_frontend_elsewhere_does_not_count_for_the_nodes_own() {
    let mut node = Rig::with(&counting());
    let vip = IpAddr::from(Ipv4Addr::new(203, 0, 113, 7));
    let elsewhere = Frontend {
        addr: Ipv4Addr::new(203, 0, 113, 7),
        flags: flags::LOAD_BALANCER,
        ..Frontend::node_port(TCP)
    };
    node.serve(elsewhere, 0, &[Backend::Remote(REMOTE_POD)]);
    node.serve(Frontend::node_port(TCP), 16, &[Backend::Remote(REMOTE_POD)]);
    count(&mut node, &[any::<V4>()]);
    node.ingress(&Packet::tcp(packet::SYN, CLIENT_SIDE, (elsewhere.addr, NODE_PORT)).bytes());
    assert_eq!(counted(&node, any::<V4>()), Some(ServiceCount::default()));
    assert_eq!(counted(&node, SocketAddr::new(vip, NODE_PORT)), None);
}

#[test]
fn a_restarted_agent_goes_on_and_one_that_counts_nothing_leaves_nothing() {
    let mut node = Rig::with(&counting());
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    count(&mut node, &[any::<V4>()]);
    let request = Packet::tcp(packet::SYN, CLIENT_SIDE, (NODE, NODE_PORT)).bytes();
    node.ingress(&request);
    node.datapath = None;
    node.start(&counting());
    count(&mut node, &[any::<V4>()]);
    assert_eq!(counted(&node, any::<V4>()), Some(packets(1, 1, 0, bytes(&request))));

    let pins = node.options.bpffs_root.join("v1/maps");
    assert!(pins.join(maps::SERVICE_COUNTS4).exists() && pins.join(maps::SERVICE_COUNTS6).exists());
    node.start(&settings());
    node.ingress(&request);
    count(&mut node, &[any::<V4>()]);
    assert_eq!(counted(&node, any::<V4>()), None);
    assert!(!pins.join(maps::SERVICE_COUNTS4).exists() && !pins.join(maps::SERVICE_COUNTS6).exists());
}
