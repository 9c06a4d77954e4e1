//! What is on the node already: source ports that are taken, and connections that are counted.

use crate::rig::{Backend, CLIENT, Frontend, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, settings};
use kpr_abi::{Reason, service::flags};
use kpr_node_agent::datapath::{Choice, Explainer, PacketStory, PortRange, Probe, Settings, Side, Verdict};
use std::net::{Ipv4Addr, SocketAddr};

/// Source ports towards a backend.
const FEW: PortRange = PortRange {
    min: 50_000,
    max: 50_007,
};
/// More clients than that.
const CLIENTS: u8 = 12;
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn asks(client: u8, to: (Ipv4Addr, u16)) -> Probe {
    let [a, b, c, _] = CLIENT.octets();
    Probe {
        protocol: TCP,
        from: SocketAddr::from((Ipv4Addr::new(a, b, c, 100 + client), FEW.min)),
        to: to.into(),
        opens: true,
    }
}

fn explain(explainer: &mut Explainer, node: &Rig, probe: &Probe) -> PacketStory {
    explainer.packet(Side::Ingress, probe, node.ifindex).unwrap()
}

#[test]
fn a_client_whose_source_port_is_taken_is_told_another_and_one_that_finds_none_is_refused() {
    let mut node = Rig::with(&Settings {
        snat_ports: FEW,
        ..settings()
    });
    let vip = Frontend {
        addr: VIP,
        port: 443,
        flags: flags::LOAD_BALANCER,
        ..Frontend::node_port(TCP)
    };
    node.serve(vip, 0, &[Backend::Remote(REMOTE_POD)]);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let mut taken = Vec::new();
    let mut refused = 0;
    for client in 0..CLIENTS {
        // All from the same port, one after the other.
        let told = explain(&mut explainer, &node, &asks(client, (VIP, 443)));
        let done = node.ingress(&told.frame);
        assert_eq!(told.trial.verdict, done.verdict, "client {client}");
        if told.story.reasons.contains(&Reason::RefuseSnatExhausted) {
            assert_eq!(node.count(Reason::RefuseSnatExhausted), 1 + refused, "client {client}");
            refused += 1;
            continue;
        }
        assert_eq!(
            node.count(Reason::RefuseSnatExhausted),
            refused,
            "client {client}: {told:?}"
        );
        let (source, _) = told.ends().unwrap();
        assert_eq!(source.ip(), NODE);
        assert!(!taken.contains(&source.port()), "client {client}: {source} is taken");
        let (source, _) = crate::packet::endpoints(&done.packet);
        taken.push(source.1);
    }
    assert_eq!(
        taken.len(),
        usize::try_from(FEW.count()).unwrap(),
        "each port is somebody's"
    );
    assert!(refused > 0);
}

#[test]
fn the_connections_that_backends_have_weigh_in_the_explanation() {
    const RUNS: usize = 400;
    let mut node = Rig::with(&Settings {
        least_connections: true,
        ..settings()
    });
    let busy = Backend::Remote(REMOTE_POD);
    node.serve(Frontend::node_port(TCP), 0, &[busy]);
    for client in 0..20 {
        let probe = asks(client, (NODE, NODE_PORT));
        node.ingress(&probe.frame([2, 0, 0, 0, 0, 1]));
    }
    let idle = Backend::Remote(Ipv4Addr::new(10, 244, 1, 9));
    node.serve(Frontend::node_port(TCP), 0, &[busy, idle]);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let mut to_busy = 0;
    for _ in 0..RUNS {
        let told = explain(&mut explainer, &node, &asks(30, (NODE, NODE_PORT)));
        assert_eq!(told.story.choice, Some(Choice::FewerConnections));
        let connections: Vec<_> = told.story.candidates.iter().map(|one| one.connections).collect();
        assert_eq!(connections, [Some(20), Some(0)]);
        to_busy += usize::from(told.story.event.backend_id == 1);
    }
    // Both draws are the busy one a quarter of the time; without counts it would be half. Seven standard deviations from each.
    assert!((45..160).contains(&to_busy), "{to_busy} of {RUNS}");
}

#[test]
fn a_packet_of_a_flow_that_is_known_keeps_its_backend() {
    let mut node = Rig::new();
    let pods = [2, 3, 4, 5].map(|n| Backend::Remote(Ipv4Addr::new(10, 244, 1, n)));
    node.serve(Frontend::node_port(TCP), 0, &pods);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let mut probe = asks(1, (NODE, NODE_PORT));
    assert!(!explainer.knows(&probe).unwrap());
    let first = explain(&mut explainer, &node, &probe);
    assert_eq!(
        (first.story.choice, first.trial.verdict),
        (Some(Choice::Chance), Verdict::Redirect)
    );
    let (_, backend) = crate::packet::endpoints(&node.ingress(&first.frame).packet);
    assert!(explainer.knows(&probe).unwrap());
    probe.opens = false;
    for _ in 0..20 {
        let next = explain(&mut explainer, &node, &probe);
        assert_eq!(next.story.choice, Some(Choice::Flow));
        assert_eq!(next.ends().unwrap().1, SocketAddr::from(backend));
    }
}
