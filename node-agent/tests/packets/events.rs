//! What the programs tell of packets and socket calls while somebody listens, and that they do the same as when nobody does.

use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SNAT, TCP, UDP, settings},
    socket::{CLUSTER_IP, PORT, Shell, cluster_ip},
};
use kpr_abi::{
    Addr4, Event, Reason,
    event::{Wanted, hook, step},
    flow::action,
    service::flags,
};
use kpr_node_agent::datapath::{Events, Settings, Verdict};
use std::net::Ipv4Addr;

/// A node whose programs tell everything.
fn told() -> (Rig, Events) {
    told_within(1 << 16)
}

/// The same, with room for so many bytes.
fn told_within(bytes: u32) -> (Rig, Events) {
    let mut node = Rig::with(&Settings {
        events: Some(bytes),
        ..settings()
    });
    let mut events = node.datapath().take_events().unwrap();
    events.want(Wanted::ALL).unwrap();
    (node, events)
}

fn v4(words: [u32; 4]) -> Ipv4Addr {
    Addr4(words[0]).into()
}

fn what(event: &Event) -> Reason {
    Reason::ALL[event.what as usize]
}

fn syn(sport: u16) -> Packet {
    Packet::tcp(SYN, (CLIENT, sport), (NODE, NODE_PORT))
}

#[test]
fn a_flow_that_begins_is_told_with_its_backend_and_its_source_port() {
    let (mut node, mut events) = told();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let sent = node.ingress(&syn(40_000).bytes());
    assert_eq!(sent.verdict, Verdict::Redirect);
    let told: Vec<_> = events.by_ref().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let event = told[0];
    assert_eq!((what(&event), event.hook), (Reason::FlowToRemote, hook::INGRESS));
    assert_eq!((event.family, event.proto, event.action), (4, TCP, action::FORWARD));
    assert_eq!((v4(event.client), event.client_port.host()), (CLIENT, 40_000));
    assert_eq!((v4(event.frontend), event.frontend_port.host()), (NODE, NODE_PORT));
    assert_eq!((v4(event.backend), event.backend_port.host()), (REMOTE_POD, 80));
    let (source, _) = endpoints(&sent.packet);
    assert_eq!((v4(event.source), event.source_port.host()), source, "as it left");
    assert!((SNAT.min..=SNAT.max).contains(&source.1));
    assert_eq!((event.service, event.backend_id), (1, 1));
    assert_eq!((event.device, event.out), (node.ifindex, node.ifindex));
    let steps = step::FRONTEND | step::ANY_ADDRESS | step::CANDIDATES | step::ADMITTED | step::CHOSEN | step::BEGAN;
    assert_eq!(event.steps & steps, steps);

    // Packets of a flow that is known are no news.
    node.ingress(&Packet::tcp(ACK, (CLIENT, 40_000), (NODE, NODE_PORT)).bytes());
    assert_eq!(events.next(), None);
}

#[test]
fn a_packet_that_dies_is_told_with_the_reason_and_with_what_was_known_of_it() {
    let (mut node, mut events) = told();
    let vip = Frontend {
        addr: Ipv4Addr::new(203, 0, 113, 7),
        port: 443,
        flags: flags::LOAD_BALANCER | flags::SOURCE_RANGES,
        ..Frontend::node_port(TCP)
    };
    node.serve(vip, 0, &[Backend::Local(LOCAL_POD)]);
    node.serve(
        Frontend::node_port(UDP).external_local(),
        8,
        &[Backend::Remote(REMOTE_POD)],
    );
    node.ingress(&Packet::tcp(SYN, (CLIENT, 40_000), (vip.addr, vip.port)).bytes());
    node.ingress(&Packet::udp((CLIENT, 40_001), (NODE, NODE_PORT)).bytes());
    node.ingress(&Packet::udp((CLIENT, 40_002), (NODE, 9)).bytes());
    let told: Vec<_> = events.by_ref().collect();
    let seen: Vec<_> = told
        .iter()
        .map(|event| (what(event), event.client_port.host(), v4(event.frontend), event.service))
        .collect();
    assert_eq!(
        seen,
        [
            (Reason::DropSourceRange, 40_000, vip.addr, 1),
            (Reason::DropNoLocalEndpoint, 40_001, NODE, 9),
        ]
    );
    assert_eq!(told[0].steps & (step::CANDIDATES | step::ADMITTED), step::CANDIDATES);
    assert_eq!(told[0].len, 1, "there was a backend for others");
    assert_eq!(told[1].steps & step::CANDIDATES, 0);
}

#[test]
fn a_socket_call_is_told_with_its_process() {
    let (mut node, mut events) = told();
    node.serve(cluster_ip(), 0, &[Backend::Local(NODE)]);
    let refused = Frontend {
        port: 81,
        ..cluster_ip()
    };
    node.serve(refused, 8, &[]);
    let mut shell = Shell::in_cgroup(&node.options.cgroup_root);
    // Nobody listens there: the program leads the call all the same.
    shell.run(&format!("exec 3<>/dev/tcp/{CLUSTER_IP}/{PORT}"));
    shell.run(&format!("exec 4<>/dev/tcp/{CLUSTER_IP}/81"));
    let told: Vec<_> = events.by_ref().collect();
    let [led, refused] = told[..] else { panic!("{told:?}") };
    assert_eq!((what(&led), led.hook), (Reason::SocketTranslated, hook::CONNECT));
    assert_eq!((v4(led.frontend), led.frontend_port.host()), (CLUSTER_IP, PORT));
    assert_eq!(
        (v4(led.backend), led.backend_port.host(), led.backend_id),
        (NODE, 80, 1)
    );
    assert_eq!(&led.process[..5], b"bash\0");
    assert_eq!(led.pid, shell.pid());
    let cgroup = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&node.options.cgroup_root).unwrap());
    assert_eq!(led.cgroup, cgroup);
    assert_ne!(led.netns, 0);
    assert_eq!(
        (what(&refused), refused.frontend_port.host()),
        (Reason::SocketNoEndpoint, 81)
    );
    assert_eq!((refused.backend_id, refused.service), (0, 9));
}

#[test]
fn events_that_find_no_room_are_counted() {
    const FLOWS: u16 = 100;
    let (mut node, mut events) = told_within(4096);
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    for port in 0..FLOWS {
        node.ingress(&syn(10_000 + port).bytes());
    }
    let told = events.by_ref().count();
    assert!(told > 0, "some had room");
    assert_eq!(told as u64 + events.lost(), u64::from(FLOWS), "each is told or counted");
    assert!(events.lost() > 0, "and some had none");
    // Room again.
    node.ingress(&syn(20_000).bytes());
    assert_eq!(events.next().unwrap().client_port.host(), 20_000);
}

#[test]
fn only_what_is_wanted_is_told_and_one_in_so_many() {
    let (mut node, mut events) = told();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    events
        .want(Wanted {
            reasons: 1 << Reason::DropTtl as u32,
            ..Wanted::ALL
        })
        .unwrap();
    node.ingress(&syn(10_000).bytes());
    assert_eq!(events.next(), None);
    events
        .want(Wanted {
            sample: 4,
            ..Wanted::ALL
        })
        .unwrap();
    for port in 0..1_000 {
        node.ingress(&syn(20_000 + port).bytes());
    }
    let told = events.by_ref().count();
    // By chance: nine standard deviations.
    assert!((125..=375).contains(&told), "{told} of 1000");
    assert_eq!(events.lost(), 0);
    events.want(Wanted::default()).unwrap();
    node.ingress(&syn(50_000).bytes());
    assert_eq!(events.next(), None, "nothing is told unless it is asked for");
}

#[test]
fn programs_are_swapped_for_those_that_tell_and_back_and_no_flow_notices() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    assert!(node.datapath().take_events().is_none());
    let first = endpoints(&node.ingress(&syn(40_000).bytes()).packet);
    for events in [Some(1 << 16), None] {
        node.start(&Settings { events, ..settings() });
        let now = node.ingress(&Packet::tcp(ACK, (CLIENT, 40_000), (NODE, NODE_PORT)).bytes());
        assert_eq!(endpoints(&now.packet), first, "with events: {}", events.is_some());
    }
}
