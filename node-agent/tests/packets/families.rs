//! Rules that hold in every address family: each test runs over IPv4 and over IPv6.

use crate::{
    packet::{self, Packet},
    packet6::{self, Head, Packet6},
    rig::{
        CLIENT, CLIENT6, LOCAL_POD, LOCAL_POD6, NODE, NODE_PORT, NODE6, REMOTE_POD, REMOTE_POD6, Rig, SNAT, TCP, UDP,
        settings,
    },
};
use kpr_abi::{BackendValue, Be16, Family, Reason, ServiceKey, ServiceValue, Slice, V4, V6, backend, service::flags};
use kpr_node_agent::{
    datapath::{FamilyTables, MapFamily, Settings, Verdict},
    plan::{AdmittedRange, Op, SlotRun},
};
use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

pub(crate) const SYN: Head = Head::Tcp { flags: 0x02 };
pub(crate) const SYN_ACK: Head = Head::Tcp { flags: 0x12 };
pub(crate) const ACK: Head = Head::Tcp { flags: 0x10 };
const RST: Head = Head::Tcp { flags: 0x14 };

const CLIENT_PORT: u16 = 40_000;
const HOUR: u32 = 3_600;

/// An end of a flow.
pub(crate) type End<F> = (<F as Family>::Ip, u16);

/// What tests need of a family.
pub(crate) trait Net: MapFamily {
    const NODE: Self::Ip;
    const CLIENT: Self::Ip;
    const LOCAL_POD: Self::Ip;
    const REMOTE_POD: Self::Ip;
    /// A pod of this node that is a client.
    const CLIENT_POD: Self::Ip;
    const CLUSTER_IP: Self::Ip;
    /// An address of a load balancer, or an external one.
    const VIP: Self::Ip;
    const ANY: Self::Ip;

    fn tables(node: &mut Rig) -> &mut FamilyTables<Self>;
    /// The `n`-th of some more pods on this node.
    fn pod(n: u8) -> Self::Ip;
    fn frame(head: Head, src: End<Self>, dst: End<Self>, hops: u8) -> Vec<u8>;
    fn endpoints(frame: &[u8]) -> (End<Self>, End<Self>);
}

impl Net for V4 {
    const NODE: Ipv4Addr = NODE;
    const CLIENT: Ipv4Addr = CLIENT;
    const LOCAL_POD: Ipv4Addr = LOCAL_POD;
    const REMOTE_POD: Ipv4Addr = REMOTE_POD;
    const CLIENT_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 77);
    const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
    const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    fn tables(node: &mut Rig) -> &mut FamilyTables<V4> {
        node.datapath().v4_mut()
    }

    fn pod(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, 0, 100 + n)
    }

    fn frame(head: Head, src: End<V4>, dst: End<V4>, hops: u8) -> Vec<u8> {
        let packet = match head {
            Head::Tcp { flags } => Packet::tcp(flags, src, dst),
            _ => Packet::udp(src, dst),
        };
        packet.ttl(hops).bytes()
    }

    fn endpoints(frame: &[u8]) -> (End<V4>, End<V4>) {
        packet::endpoints(frame)
    }
}

impl Net for V6 {
    const NODE: Ipv6Addr = NODE6;
    const CLIENT: Ipv6Addr = CLIENT6;
    const LOCAL_POD: Ipv6Addr = LOCAL_POD6;
    const REMOTE_POD: Ipv6Addr = REMOTE_POD6;
    const CLIENT_POD: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 0x77);
    const CLUSTER_IP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x20);
    const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
    const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

    fn tables(node: &mut Rig) -> &mut FamilyTables<V6> {
        node.datapath().v6_mut()
    }

    fn pod(n: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 1, n.into())
    }

    fn frame(head: Head, src: End<V6>, dst: End<V6>, hops: u8) -> Vec<u8> {
        Packet6::new(head, src, dst).hops(hops).bytes()
    }

    fn endpoints(frame: &[u8]) -> (End<V6>, End<V6>) {
        packet6::endpoints(frame)
    }
}

/// A node that serves one family.
pub(crate) struct Node<F: Net> {
    pub(crate) rig: Rig,
    family: std::marker::PhantomData<F>,
}

/// A frontend; its backends are at port 80.
#[derive(Clone, Copy)]
pub(crate) struct Asked<F: Family> {
    addr: F::Ip,
    port: u16,
    proto: u8,
    pub(crate) flags: u32,
}

pub(crate) fn node_port<F: Net>(proto: u8) -> Asked<F> {
    Asked {
        addr: F::ANY,
        port: NODE_PORT,
        proto,
        flags: flags::NODE_PORT,
    }
}

fn cluster_ip<F: Net>(proto: u8) -> Asked<F> {
    Asked {
        addr: F::CLUSTER_IP,
        port: 80,
        proto,
        flags: flags::CLUSTER_IP,
    }
}

pub(crate) fn vip<F: Net>(proto: u8, kind: u32) -> Asked<F> {
    Asked {
        addr: F::VIP,
        port: 443,
        proto,
        flags: kind,
    }
}

impl<F: Family> Asked<F> {
    pub(crate) fn with(self, flag: u32) -> Self {
        Self {
            flags: self.flags | flag,
            ..self
        }
    }

    pub(crate) fn key(&self) -> ServiceKey<F::Addr> {
        ServiceKey::new(F::Addr::from(self.addr), Be16::new(self.port), self.proto)
    }
}

impl<F: Net> Node<F> {
    pub(crate) fn new() -> Self {
        Self::with(&settings())
    }

    pub(crate) fn with(settings: &Settings) -> Self {
        Self {
            rig: Rig::with(settings),
            family: std::marker::PhantomData,
        }
    }

    /// Gives ids to backends, from `first`; local ones are on this node.
    pub(crate) fn backends(&mut self, proto: u8, first: u32, local: bool, addrs: &[F::Ip]) -> Vec<u32> {
        let flags = if local { backend::flags::LOCAL } else { 0 };
        let mut ids = Vec::new();
        for (id, addr) in (first..).zip(addrs) {
            let value = BackendValue {
                addr: F::Addr::from(*addr),
                port: Be16::new(80),
                proto,
                flags,
            };
            self.apply(&Op::PutBackend { id, value });
            ids.push(id);
        }
        ids
    }

    /// Publishes a frontend: all its backends, and those of them on this node, at slots from `base`.
    fn serve(&mut self, asked: Asked<F>, base: u32, all: &[u32], local: &[u32]) {
        let len = |ids: &[u32]| u32::try_from(ids.len()).unwrap();
        let cluster = Slice { base, len: len(all) };
        let local_slice = Slice {
            base: base + cluster.len,
            len: len(local),
        };
        for (base, ids) in [(cluster.base, all), (local_slice.base, local)] {
            if !ids.is_empty() {
                self.apply(&Op::PutSlots {
                    base,
                    run: SlotRun::list(ids),
                });
            }
        }
        let has_endpoints = if all.is_empty() { 0 } else { flags::HAS_ENDPOINTS };
        let value = ServiceValue {
            id: 1,
            flags: asked.flags | has_endpoints,
            cluster,
            local: local_slice,
            affinity_seconds: if asked.flags & flags::AFFINITY == 0 { 0 } else { HOUR },
            affinity_group: 1,
        };
        self.apply(&Op::PutService {
            key: asked.key(),
            value,
        });
    }

    /// One backend, on this node or not.
    pub(crate) fn serve_one(&mut self, asked: Asked<F>, local: bool) {
        let addr = if local { F::LOCAL_POD } else { F::REMOTE_POD };
        let ids = self.backends(asked.proto, 1, local, &[addr]);
        let local: &[u32] = if local { &ids } else { &[] };
        self.serve(asked, 0, &ids, local);
    }

    pub(crate) fn apply(&mut self, op: &Op<F>) {
        F::tables(&mut self.rig).apply(op).unwrap();
    }

    /// Where a packet from outside goes; it must not be dropped.
    pub(crate) fn sent_to(&mut self, head: Head, src: End<F>, dst: End<F>) -> F::Ip {
        let seen = self.rig.ingress(&F::frame(head, src, dst, 64));
        assert_ne!(seen.verdict, Verdict::Drop, "{}", F::NAME);
        F::endpoints(&seen.packet).1.0
    }
}

fn head(proto: u8) -> Head {
    if proto == TCP { SYN } else { Head::Udp }
}

/// Runs a test in both families.
macro_rules! in_both_families {
    ($($(#[doc = $doc:literal])* $name:ident;)+) => {$(
        $(#[doc = $doc])*
        #[test]
        fn $name() {
            rule::$name::<V4>();
            rule::$name::<V6>();
        }
    )+};
}

in_both_families! {
    new_flows_spread_over_all_backends;
    a_client_sticks_to_its_backend_until_it_leaves_the_list;
    a_node_port_without_endpoints_leaves_the_answer_to_the_stack;
    addresses_without_endpoints_are_refused_in_their_own_name;
    other_ports_and_protocols_of_an_address_pass_untouched;
    traffic_policy_local_takes_local_backends_only_and_drops_without_one;
    established_tcp_stays_with_a_terminating_backend_and_new_flows_do_not;
    established_tcp_outlives_its_backend_and_its_service;
    a_udp_flow_moves_at_once_when_its_backend_is_gone;
    a_udp_flow_moves_at_once_when_its_backends_id_is_free;
    tcp_in_mid_flow_passes_untouched;
    two_flows_never_share_a_tuple_towards_a_remote_backend;
    external_addresses_are_served_to_the_outside_and_to_pods;
    a_pod_reaches_a_backend_anywhere_and_hears_whom_it_asked;
    a_pod_that_meets_itself_hears_whom_it_asked;
    clients_outside_the_source_ranges_are_dropped;
}

mod rule {
    use super::*;

    pub(super) fn new_flows_spread_over_all_backends<F: Net>() {
        let mut node = Node::<F>::new();
        let mut all = node.backends(TCP, 1, true, &[F::LOCAL_POD]);
        let local = all.clone();
        all.extend(node.backends(TCP, 2, false, &[F::REMOTE_POD]));
        node.serve(node_port(TCP), 0, &all, &local);
        let to_local = (40_000..41_000)
            .filter(|&port| node.sent_to(SYN, (F::CLIENT, port), (F::NODE, NODE_PORT)) == F::LOCAL_POD)
            .count();
        // 1,000 draws of probability one half: outside 400..=600 less than once in 10^9 runs.
        assert!((400..=600).contains(&to_local), "{}: {to_local} of 1,000", F::NAME);
    }

    pub(super) fn a_client_sticks_to_its_backend_until_it_leaves_the_list<F: Net>() {
        const PODS: u8 = 8;
        let mut node = Node::<F>::new();
        let pods: Vec<F::Ip> = (0..PODS).map(F::pod).collect();
        let ids = node.backends(TCP, 1, true, &pods);
        let asked = node_port::<F>(TCP).with(flags::AFFINITY);
        node.serve(asked, 0, &ids, &ids);
        let connect = |node: &mut Node<F>, port: u16| node.sent_to(SYN, (F::CLIENT, port), (F::NODE, NODE_PORT));
        let first = connect(&mut node, 40_000);
        for port in 40_001..40_020 {
            assert_eq!(connect(&mut node, port), first, "{}", F::NAME);
        }
        let rest: Vec<u32> = ids
            .iter()
            .zip(&pods)
            .filter(|(_, pod)| **pod != first)
            .map(|(id, _)| *id)
            .collect();
        node.serve(asked, 100, &rest, &rest);
        let second = connect(&mut node, 40_020);
        assert_ne!(second, first, "{}", F::NAME);
        for port in 40_021..40_030 {
            assert_eq!(
                connect(&mut node, port),
                second,
                "{}: it sticks to the new one",
                F::NAME
            );
        }
    }

    pub(super) fn a_node_port_without_endpoints_leaves_the_answer_to_the_stack<F: Net>() {
        let mut node = Node::<F>::new();
        for proto in [TCP, UDP] {
            node.serve(node_port(proto), 0, &[], &[]);
            let request = F::frame(head(proto), (F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT), 64);
            let seen = node.rig.ingress(&request);
            assert_eq!((seen.verdict, seen.packet), (Verdict::Next, request), "{}", F::NAME);
        }
        assert_eq!(node.rig.count(Reason::PassNoEndpoint), 2);
    }

    pub(super) fn addresses_without_endpoints_are_refused_in_their_own_name<F: Net>() {
        let nobody = (F::NODE, SNAT.max);
        for (from_pod, asked, client) in [
            (false, vip::<F>(TCP, flags::LOAD_BALANCER), F::CLIENT),
            (false, vip::<F>(TCP, flags::EXTERNAL_IP), F::CLIENT),
            (true, cluster_ip::<F>(TCP), F::CLIENT_POD),
        ] {
            let mut node = Node::<F>::new();
            node.serve(asked, 0, &[], &[]);
            let (client, dst) = ((client, CLIENT_PORT), (asked.addr, asked.port));
            let request = F::frame(SYN, client, dst, 64);
            let seen = if from_pod {
                node.rig.pod_sends(&request)
            } else {
                node.rig.ingress(&request)
            };
            let led = F::frame(SYN, client, nobody, 64);
            assert_eq!((seen.verdict, seen.packet), (Verdict::Next, led), "{}", F::NAME);
            let reset = node.rig.egress(&F::frame(RST, nobody, client, 64));
            assert_eq!(reset.packet, F::frame(RST, dst, client, 64), "{}", F::NAME);
            assert_eq!(node.rig.count(Reason::RefuseNoEndpoint), 1);
        }
    }

    pub(super) fn other_ports_and_protocols_of_an_address_pass_untouched<F: Net>() {
        let mut node = Node::<F>::new();
        node.serve_one(vip(TCP, flags::LOAD_BALANCER), true);
        let client = (F::CLIENT, CLIENT_PORT);
        for (what, head, port) in [("port", SYN, 444), ("protocol", Head::Udp, 443)] {
            let packet = F::frame(head, client, (F::VIP, port), 64);
            let seen = node.rig.ingress(&packet);
            assert_eq!(
                (seen.verdict, seen.packet),
                (Verdict::Next, packet),
                "{}: {what}",
                F::NAME
            );
        }
        assert_eq!(node.sent_to(SYN, client, (F::VIP, 443)), F::LOCAL_POD);
    }

    pub(super) fn traffic_policy_local_takes_local_backends_only_and_drops_without_one<F: Net>() {
        let mut node = Node::<F>::new();
        let mut all = node.backends(TCP, 1, true, &[F::LOCAL_POD]);
        let local = all.clone();
        all.extend(node.backends(TCP, 2, false, &[F::REMOTE_POD]));
        node.serve(node_port(TCP).with(flags::EXTERNAL_LOCAL), 0, &all, &local);
        for port in 41_000..41_020 {
            assert_eq!(node.sent_to(SYN, (F::CLIENT, port), (F::NODE, NODE_PORT)), F::LOCAL_POD);
        }
        let remote = node.backends(UDP, 10, false, &[F::REMOTE_POD]);
        node.serve(node_port(UDP).with(flags::EXTERNAL_LOCAL), 10, &remote, &[]);
        let datagram = F::frame(Head::Udp, (F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT), 64);
        assert_eq!(node.rig.ingress(&datagram).verdict, Verdict::Drop, "{}", F::NAME);
        assert_eq!(node.rig.count(Reason::DropNoLocalEndpoint), 1);
    }

    pub(super) fn established_tcp_stays_with_a_terminating_backend_and_new_flows_do_not<F: Net>() {
        let mut node = Node::<F>::new();
        let ids = node.backends(TCP, 1, true, &[F::pod(1), F::pod(2)]);
        node.serve(node_port(TCP), 0, &ids[..1], &ids[..1]);
        let (client, dst) = ((F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT));
        assert_eq!(node.sent_to(SYN, client, dst), F::pod(1));
        // The first one terminates: its backend stays, but new flows have the other.
        node.serve(node_port(TCP), 10, &ids[1..], &ids[1..]);
        assert_eq!(node.sent_to(ACK, client, dst), F::pod(1), "{}", F::NAME);
        for port in 41_000..41_010 {
            assert_eq!(node.sent_to(SYN, (F::CLIENT, port), dst), F::pod(2), "{}", F::NAME);
        }
    }

    pub(super) fn established_tcp_outlives_its_backend_and_its_service<F: Net>() {
        let mut node = Node::<F>::new();
        node.serve_one(node_port(TCP), true);
        let (client, dst) = ((F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT));
        assert_eq!(node.sent_to(SYN, client, dst), F::LOCAL_POD);
        node.apply(&Op::DeleteService {
            key: node_port::<F>(TCP).key(),
        });
        node.apply(&Op::ClearBackend { id: 1 });
        assert_eq!(node.sent_to(ACK, client, dst), F::LOCAL_POD, "{}", F::NAME);
        let new = (F::CLIENT, CLIENT_PORT + 1);
        assert_eq!(node.sent_to(SYN, new, dst), F::NODE, "{}: nobody is there", F::NAME);
    }

    pub(super) fn a_udp_flow_moves_at_once_when_its_backend_is_gone<F: Net>() {
        let value = BackendValue {
            addr: F::Addr::from(F::pod(1)),
            port: Be16::new(80),
            proto: UDP,
            flags: backend::flags::LOCAL | backend::flags::GONE,
        };
        a_udp_flow_moves_upon::<F>(&Op::PutBackend { id: 1, value });
    }

    pub(super) fn a_udp_flow_moves_at_once_when_its_backends_id_is_free<F: Net>() {
        a_udp_flow_moves_upon::<F>(&Op::ClearBackend { id: 1 });
    }

    /// The flow's backend has id 1, and no frontend leads to it any more.
    fn a_udp_flow_moves_upon<F: Net>(op: &Op<F>) {
        let mut node = Node::<F>::new();
        let ids = node.backends(UDP, 1, true, &[F::pod(1), F::pod(2)]);
        node.serve(node_port(UDP), 0, &ids[..1], &ids[..1]);
        let (client, dst) = ((F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT));
        assert_eq!(node.sent_to(Head::Udp, client, dst), F::pod(1));
        node.serve(node_port(UDP), 10, &ids[1..], &ids[1..]);
        assert_eq!(
            node.sent_to(Head::Udp, client, dst),
            F::pod(1),
            "{}: it still serves",
            F::NAME
        );
        node.apply(op);
        assert_eq!(node.sent_to(Head::Udp, client, dst), F::pod(2), "{}", F::NAME);
    }

    pub(super) fn tcp_in_mid_flow_passes_untouched<F: Net>() {
        let mut node = Node::<F>::new();
        node.serve_one(node_port(TCP), true);
        node.serve_one(cluster_ip(TCP), true);
        let outside = F::frame(ACK, (F::CLIENT, CLIENT_PORT), (F::NODE, NODE_PORT), 64);
        let inside = F::frame(ACK, (F::CLIENT_POD, CLIENT_PORT), (F::CLUSTER_IP, 80), 64);
        for (seen, packet) in [
            (node.rig.ingress(&outside), outside),
            (node.rig.pod_sends(&inside), inside),
        ] {
            assert_eq!((seen.verdict, seen.packet), (Verdict::Next, packet), "{}", F::NAME);
        }
        assert_eq!(node.rig.count(Reason::PassMidFlow), 2);
    }

    pub(super) fn two_flows_never_share_a_tuple_towards_a_remote_backend<F: Net>() {
        let mut node = Node::<F>::new();
        node.serve_one(node_port(UDP), false);
        let mut ports = HashSet::new();
        // Clients on ports of the SNAT range ask for their own port, from two addresses: half of the wishes collide.
        for client in [F::CLIENT, F::VIP] {
            for port in 50_000..50_500 {
                let request = F::frame(Head::Udp, (client, port), (F::NODE, NODE_PORT), 64);
                let seen = node.rig.ingress(&request);
                assert_eq!(seen.verdict, Verdict::Redirect, "{}", F::NAME);
                let (src, dst) = F::endpoints(&seen.packet);
                assert_eq!((src.0, dst), (F::NODE, (F::REMOTE_POD, 80)));
                assert!((SNAT.min..=SNAT.max).contains(&src.1));
                assert!(ports.insert(src.1), "{}: port {} was given twice", F::NAME, src.1);
                let answer = node.rig.ingress(&F::frame(Head::Udp, dst, src, 64));
                let expected = F::frame(Head::Udp, (F::NODE, NODE_PORT), (client, port), 63);
                assert_eq!(
                    (answer.verdict, answer.packet),
                    (Verdict::Redirect, expected),
                    "{}",
                    F::NAME
                );
            }
        }
    }

    pub(super) fn external_addresses_are_served_to_the_outside_and_to_pods<F: Net>() {
        for kind in [flags::EXTERNAL_IP, flags::LOAD_BALANCER] {
            let mut node = Node::<F>::new();
            node.serve_one(vip(UDP, kind), true);
            for (from_pod, client) in [(false, F::CLIENT), (true, F::CLIENT_POD)] {
                let (client, asked, backend) = ((client, CLIENT_PORT), (F::VIP, 443), (F::LOCAL_POD, 80));
                let request = F::frame(Head::Udp, client, asked, 64);
                let seen = if from_pod {
                    node.rig.pod_sends(&request)
                } else {
                    node.rig.ingress(&request)
                };
                assert_eq!(seen.packet, F::frame(Head::Udp, client, backend, 64), "{}", F::NAME);
                let answer = node.rig.egress(&F::frame(Head::Udp, backend, client, 64));
                assert_eq!(answer.packet, F::frame(Head::Udp, asked, client, 64), "{}", F::NAME);
            }
        }
    }

    pub(super) fn a_pod_reaches_a_backend_anywhere_and_hears_whom_it_asked<F: Net>() {
        // A port of the SNAT range: the reply of a remote backend is nobody's at the external device.
        let client = (F::CLIENT_POD, 50_123);
        let asked = (F::CLUSTER_IP, 80);
        for (local, addr) in [(true, F::LOCAL_POD), (false, F::REMOTE_POD)] {
            for (proto, there, back) in [(TCP, SYN, SYN_ACK), (UDP, Head::Udp, Head::Udp)] {
                let mut node = Node::<F>::new();
                node.serve_one(cluster_ip(proto), local);
                let seen = node.rig.pod_sends(&F::frame(there, client, asked, 64));
                let led = F::frame(there, client, (addr, 80), 64);
                assert_eq!(
                    (seen.verdict, seen.packet),
                    (Verdict::Next, led),
                    "{}: no SNAT",
                    F::NAME
                );
                let answer = F::frame(back, (addr, 80), client, 64);
                assert_eq!(node.rig.ingress(&answer).packet, answer, "{}", F::NAME);
                let heard = node.rig.egress(&answer).packet;
                assert_eq!(heard, F::frame(back, asked, client, 64), "{}", F::NAME);
            }
        }
    }

    pub(super) fn a_pod_that_meets_itself_hears_whom_it_asked<F: Net>() {
        let (client, asked) = ((F::CLIENT_POD, CLIENT_PORT), (F::CLUSTER_IP, 80));
        let mut node = Node::<F>::new();
        let ids = node.backends(TCP, 1, true, &[F::CLIENT_POD]);
        node.serve(cluster_ip(TCP), 0, &ids, &ids);
        let seen = node.rig.pod_sends(&F::frame(SYN, client, asked, 64));
        assert_eq!(seen.verdict, Verdict::Redirect, "{}", F::NAME);
        let (src, dst) = F::endpoints(&seen.packet);
        assert_eq!((src.0, dst), (F::NODE, (F::CLIENT_POD, 80)), "{}: not itself", F::NAME);
        let seen = node.rig.pod_sends(&F::frame(SYN_ACK, dst, src, 64));
        let expected = F::frame(SYN_ACK, asked, client, 63);
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Redirect, expected),
            "{}",
            F::NAME
        );
    }

    pub(super) fn clients_outside_the_source_ranges_are_dropped<F: Net>() {
        let bits = 8 * u8::try_from(size_of::<F::Addr>()).unwrap();
        let mut node = Node::<F>::new();
        for addr in [F::CLIENT, F::CLIENT_POD] {
            let range = AdmittedRange {
                service: 1,
                addr: F::Addr::from(addr),
                bits,
            };
            node.apply(&Op::PutRange { range });
        }
        node.serve_one(vip(TCP, flags::LOAD_BALANCER).with(flags::SOURCE_RANGES), true);
        for (client, from_pod, expected) in [
            (F::CLIENT, false, Verdict::Next),
            (F::pod(9), false, Verdict::Drop),
            (F::CLIENT_POD, true, Verdict::Next),
            (F::pod(9), true, Verdict::Drop),
        ] {
            let request = F::frame(SYN, (client, CLIENT_PORT), (F::VIP, 443), 64);
            let seen = if from_pod {
                node.rig.pod_sends(&request)
            } else {
                node.rig.ingress(&request)
            };
            assert_eq!(seen.verdict, expected, "{client}");
        }
        assert_eq!(node.rig.count(Reason::DropSourceRange), 2);
    }
}
