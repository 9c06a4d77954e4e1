//! Source ports towards remote backends: each flow has its own, and one that finds none is refused.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use crate::{
    packet::{ACK, Packet, RST, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SNAT, TCP, UDP},
};
use kpr_abi::{Reason, service::flags};
use kpr_node_agent::datapath::{PortRange, Settings, Sizes, Verdict};

const FEW: PortRange = PortRange {
    min: 60_000,
    max: 60_007,
};

/// A node with so few source ports, and one backend elsewhere.
fn node_with(snat_ports: PortRange, frontend: Frontend) -> Rig {
    let mut node = Rig::with(&Settings {
        snat_ports,
        sizes: Sizes {
            flows: 131_072,
            ..crate::rig::sizes()
        },
        ..crate::rig::settings()
    });
    node.serve(frontend, 0, &[Backend::Remote(REMOTE_POD)]);
    node
}

#[test]
fn two_flows_never_share_a_tuple_towards_a_remote_backend() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Remote(REMOTE_POD)]);
    let mut ports = HashSet::new();
    // Clients on ports of the SNAT range ask for their own port, from two addresses: half of the wishes collide.
    for client in [CLIENT, Ipv4Addr::new(192, 168, 49, 101)] {
        for port in 50_000..51_000 {
            let packet = Packet::udp((client, port), (NODE, NODE_PORT));
            let (src, dst) = endpoints(&node.ingress(&packet.bytes()).packet);
            assert_eq!((src.0, dst), (NODE, (REMOTE_POD, 80)));
            assert!(ports.insert(src.1), "port {} was given twice", src.1);
            let answer = Packet::udp(dst, src);
            let (from, to) = endpoints(&node.ingress(&answer.bytes()).packet);
            assert_eq!(
                (from, to),
                ((NODE, NODE_PORT), (client, port)),
                "the reply finds its client"
            );
        }
    }
}

#[test]
fn a_flow_that_finds_no_source_port_is_left_to_the_stack_and_counted() {
    let mut node = node_with(FEW, Frontend::node_port(UDP));
    let mut given = HashSet::new();
    for port in 1_000..1_020 {
        let packet = Packet::udp((CLIENT, port), (NODE, NODE_PORT)).bytes();
        let seen = node.ingress(&packet);
        if seen.verdict == Verdict::Redirect {
            assert!(given.insert(endpoints(&seen.packet).0.1));
        } else {
            assert_eq!(
                (seen.verdict, seen.packet),
                (Verdict::Next, packet),
                "no socket has the port: the stack refuses it"
            );
        }
    }
    assert_eq!(given.len(), 8, "every port of the range was given once");
    assert_eq!(node.count(Reason::RefuseSnatExhausted), 12);
}

#[test]
fn at_an_address_that_is_not_the_nodes_it_is_refused_in_the_frontends_name() {
    let vip = Ipv4Addr::new(203, 0, 113, 7);
    let frontend = Frontend {
        addr: vip,
        port: 443,
        flags: flags::LOAD_BALANCER,
        ..Frontend::node_port(TCP)
    };
    let mut node = node_with(FEW, frontend);
    let syn = |port| Packet::tcp(SYN, (CLIENT, port), (vip, 443));
    for port in 1_000..1_008 {
        assert_eq!(node.ingress(&syn(port).bytes()).verdict, Verdict::Redirect);
    }
    let nobody = (NODE, FEW.max);
    let refused = node.ingress(&syn(2_000).bytes());
    assert_eq!(
        (refused.verdict, refused.packet),
        (Verdict::Next, syn(2_000).to(nobody).bytes())
    );
    let reset = Packet::tcp(RST | ACK, nobody, (CLIENT, 2_000));
    assert_eq!(node.egress(&reset.bytes()).packet, reset.from((vip, 443)).bytes());
    assert_eq!(node.count(Reason::RefuseSnatExhausted), 1);

    node.serve(frontend, 10, &[Backend::Local(LOCAL_POD)]);
    assert_eq!(
        node.ingress(&syn(2_000).bytes()).packet,
        syn(2_000).to((LOCAL_POD, 80)).bytes(),
        "its next attempt looks for a backend again"
    );
}

#[test]
fn another_backend_has_all_source_ports_anew() {
    let mut node = node_with(FEW, Frontend::node_port(UDP));
    for port in 1_000..1_008 {
        let packet = Packet::udp((CLIENT, port), (NODE, NODE_PORT)).bytes();
        assert_eq!(node.ingress(&packet).verdict, Verdict::Redirect);
    }
    let other = Ipv4Addr::new(10, 244, 1, 9);
    node.serve(Frontend::node_port(UDP), 10, &[Backend::Remote(other)]);
    for port in 2_000..2_008 {
        let packet = Packet::udp((CLIENT, port), (NODE, NODE_PORT)).bytes();
        assert_eq!(endpoints(&node.ingress(&packet).packet).1, (other, 80));
    }
    assert_eq!(node.count(Reason::RefuseSnatExhausted), 0);
}

/// What new flows found at one degree of fill.
#[derive(Debug, Default)]
struct Found {
    flows: u32,
    refused: u32,
    took: Duration,
}

/// Opens flows from ever new clients until `taken` source ports are in use.
fn fill(node: &mut Rig, taken: u32, in_use: &mut u32, clients: &mut impl Iterator<Item = (Ipv4Addr, u16)>) -> Found {
    let mut found = Found::default();
    while *in_use < taken {
        let packet = Packet::udp(clients.next().unwrap(), (NODE, NODE_PORT)).bytes();
        let seen = node.ingress(&packet);
        found.flows += 1;
        found.took += seen.took;
        if seen.verdict == Verdict::Redirect {
            *in_use += 1;
        } else {
            found.refused += 1;
        }
    }
    found
}

#[test]
fn a_source_port_is_found_until_nearly_all_are_taken() {
    let mut node = node_with(SNAT, Frontend::node_port(UDP));
    let mut clients =
        (0..=u8::MAX).flat_map(|last| (1_024..1_324).map(move |port| (Ipv4Addr::new(10, 9, 8, last), port)));
    let ports = u32::from(SNAT.max - SNAT.min) + 1;
    let mut in_use = 0;
    // 256 tries: with 90 in 100 taken one flow in 10^11 is refused, with 98 one in 200.
    for (percent, bearable) in [(50, 0), (90, 0), (95, 3), (97, 10), (98, 20)] {
        let before = fill(&mut node, ports * percent / 100 - 100, &mut in_use, &mut clients);
        let here = fill(&mut node, ports * percent / 100, &mut in_use, &mut clients);
        println!(
            "{percent} % taken: {} of {} flows refused, {} ns each",
            here.refused,
            here.flows,
            here.took.as_nanos() / u128::from(here.flows)
        );
        let refused = before.refused + here.refused;
        assert!(refused <= bearable, "{percent} % taken: {refused} flows were refused");
    }
    // From here on flows that find none make the others of the same second look at fewer ports.
    let last = fill(&mut node, ports, &mut in_use, &mut clients);
    println!("until all are taken: {} of {} flows refused", last.refused, last.flows);
    let mut refused = Duration::ZERO;
    for client in clients.by_ref().take(100) {
        let seen = node.ingress(&Packet::udp(client, (NODE, NODE_PORT)).bytes());
        assert_eq!(seen.verdict, Verdict::Next);
        refused += seen.took;
    }
    println!("all taken: {} ns for each refused flow", refused.as_nanos() / 100);
}
