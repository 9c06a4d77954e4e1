//! Direct server return: at the node that the client asked, at the backend's, and back where a node can't.

use crate::{
    packet::{ACK, FIN, IcmpError, Packet, SYN, checksum, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SNAT, TCP, UDP, settings},
};
use kpr_abi::{Reason, V4, service::flags};
use kpr_node_agent::{
    datapath::{Dsr, DsrDispatch, FlowTable, Settings, Timeouts, Verdict, flow_clock},
    plan::{AdmittedRange, Op},
};
use std::net::Ipv4Addr;

pub(crate) const CLIENT_SIDE: (Ipv4Addr, u16) = (CLIENT, 40_000);
/// What the client asks at this node.
const ASKED: (Ipv4Addr, u16) = (NODE, NODE_PORT);
/// Another node, and what a client asks there.
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 3);
pub(crate) const ASKED_THERE: (Ipv4Addr, u16) = (OTHER, NODE_PORT);
pub(crate) const ETHERNET: usize = 14;
pub(crate) const DISPATCHES: [DsrDispatch; 2] = [DsrDispatch::Geneve, DsrDispatch::Ipip];

fn dsr(dsr: Dsr, dsr_dispatch: DsrDispatch) -> Settings {
    Settings {
        dsr,
        dsr_dispatch,
        ..settings()
    }
}

/// What stands between the outer IP header and an inner packet of this length and type. `port`: the outer source port.
pub(crate) fn between(dispatch: DsrDispatch, port: u16, inner: usize, ethertype: [u8; 2]) -> Vec<u8> {
    match dispatch {
        DsrDispatch::Ipip => Vec::new(),
        DsrDispatch::Geneve => [
            &port.to_be_bytes()[..],
            &6081_u16.to_be_bytes(),
            &big_endian(inner + 16),
            &[0, 0, 0, 0],
            &ethertype,
            &[b'k', b'p', b'r', 0],
        ]
        .concat(),
    }
}

/// A length as headers have it.
pub(crate) fn big_endian(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

/// A packet inside of another one. `port`: the outer source port.
pub(crate) fn encapsulated(dispatch: DsrDispatch, src: Ipv4Addr, dst: Ipv4Addr, port: u16, inner: &[u8]) -> Vec<u8> {
    let packet = &inner[ETHERNET..];
    let between = between(dispatch, port, packet.len(), [0x08, 0x00]);
    let protocol = match dispatch {
        DsrDispatch::Ipip => 4,
        DsrDispatch::Geneve => 17,
    };
    let mut ip = vec![0x45, 0];
    ip.extend(big_endian(20 + between.len() + packet.len()));
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend(src.octets());
    ip.extend(dst.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&inner[..ETHERNET], &ip, &between, packet].concat()
}

/// The outer source port of a packet, which the program chooses.
fn outer_port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}

fn request() -> Packet {
    Packet::tcp(SYN, CLIENT_SIDE, ASKED)
}

#[test]
fn a_flow_to_another_node_is_encapsulated_as_the_client_sent_it() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(Dsr::All, dispatch));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
        let mut ports = Vec::new();
        for flags in [SYN, ACK, FIN | ACK] {
            let packet = Packet::tcp(flags, CLIENT_SIDE, ASKED);
            let seen = node.ingress(&packet.bytes());
            assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
            let port = outer_port(&seen.packet);
            let expected = encapsulated(dispatch, NODE, REMOTE_POD, port, &packet.ttl(63).bytes());
            assert_eq!(seen.packet, expected, "{dispatch:?}, flags {flags:#x}");
            ports.push(port);
        }
        if dispatch == DsrDispatch::Geneve {
            assert!(
                ports[0] >= 0xc000 && ports.iter().all(|port| *port == ports[0]),
                "{ports:?}"
            );
        }
        assert_eq!(node.count(Reason::FlowToRemoteDsr), 1);
        assert_eq!(node.count(Reason::FlowToRemote), 0);
    }
}

#[test]
fn a_fragmented_datagram_goes_piece_by_piece() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Dsr(REMOTE_POD)]);
    let whole = Packet::udp(CLIENT_SIDE, ASKED);
    let first = Packet {
        fragment: 0x2000,
        ..whole.clone()
    };
    for packet in [first, whole.later_fragment(2)] {
        let seen = node.ingress(&packet.bytes());
        let expected = encapsulated(
            DsrDispatch::Geneve,
            NODE,
            REMOTE_POD,
            outer_port(&seen.packet),
            &packet.clone().ttl(63).bytes(),
        );
        assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected), "{packet:?}");
    }
}

#[test]
fn a_packet_whose_last_hop_this_is_ends_here() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    assert_eq!(node.ingress(&request().ttl(1).bytes()).verdict, Verdict::Drop);
    assert_eq!(node.count(Reason::DropTtl), 1);
}

/// Whether a packet to a remote backend got this node's address.
fn got_snat(node: &mut Rig, packet: &Packet) {
    let seen = node.ingress(&packet.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let (src, dst) = endpoints(&seen.packet);
    assert_eq!((src.0, dst), (NODE, (REMOTE_POD, 80)));
    assert_eq!(seen.packet, packet.clone().from(src).to(dst).ttl(63).bytes());
}

#[test]
fn a_backend_whose_node_takes_none_gets_snat() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    got_snat(&mut node, &request());
    assert_eq!(node.count(Reason::FlowToRemoteDsr), 0);
}

#[test]
fn hybrid_is_dsr_for_tcp_and_snat_for_udp() {
    let mut node = Rig::with(&dsr(Dsr::Tcp, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    node.serve(Frontend::node_port(UDP), 8, &[Backend::Dsr(REMOTE_POD)]);
    got_snat(&mut node, &Packet::udp(CLIENT_SIDE, ASKED));
    let seen = node.ingress(&request().bytes());
    let port = outer_port(&seen.packet);
    let expected = encapsulated(DsrDispatch::Geneve, NODE, REMOTE_POD, port, &request().ttl(63).bytes());
    assert_eq!(seen.packet, expected);
}

#[test]
fn a_flow_keeps_its_way_when_the_mode_changes() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    node.ingress(&request().bytes());
    let ending = dsr(Dsr::Ending, DsrDispatch::Ipip);
    node.datapath = None;
    node.start(&ending);
    let next = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
    let seen = node.ingress(&next.bytes());
    let expected = encapsulated(DsrDispatch::Ipip, NODE, REMOTE_POD, 0, &next.ttl(63).bytes());
    assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, expected));
    let (port, data) = ((CLIENT, 40_001), |flags| Packet::tcp(flags, (CLIENT, 40_001), ASKED));
    got_snat(&mut node, &request().from(port));

    node.datapath = None;
    node.start(&dsr(Dsr::All, DsrDispatch::Geneve));
    got_snat(&mut node, &data(ACK));
}

#[test]
fn an_encapsulated_packet_reaches_the_backend_and_the_client_gets_the_answer_from_whom_it_asked() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        for flags in [SYN, ACK] {
            let packet = Packet::tcp(flags, CLIENT_SIDE, ASKED_THERE).ttl(63);
            let seen = node.ingress(&encapsulated(dispatch, OTHER, LOCAL_POD, 0xc001, &packet.bytes()));
            assert_eq!(seen.verdict, Verdict::Next, "{dispatch:?}");
            assert_eq!(seen.packet, packet.to((LOCAL_POD, 80)).bytes(), "{dispatch:?}");
            if flags == SYN {
                let answer = Packet::tcp(SYN | ACK, (LOCAL_POD, 80), CLIENT_SIDE);
                let seen = node.egress(&answer.bytes());
                assert_eq!(
                    (seen.verdict, seen.packet),
                    (Verdict::Next, answer.from(ASKED_THERE).bytes()),
                    "{dispatch:?}"
                );
            }
        }
        assert_eq!(node.count(Reason::FlowFromDsr), 1);
    }
}

#[test]
fn a_flow_that_was_forgotten_here_goes_on() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    let packet = Packet::tcp(ACK, CLIENT_SIDE, ASKED_THERE).ttl(63);
    let seen = node.ingress(&encapsulated(DsrDispatch::Geneve, OTHER, LOCAL_POD, 1, &packet.bytes()));
    assert_eq!(seen.packet, packet.to((LOCAL_POD, 80)).bytes());
    let answer = Packet::tcp(ACK, (LOCAL_POD, 80), CLIENT_SIDE);
    assert_eq!(node.egress(&answer.bytes()).packet, answer.from(ASKED_THERE).bytes());
}

#[test]
fn the_backend_is_the_one_that_the_outer_header_names() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    let second = Ipv4Addr::new(10, 244, 0, 4);
    let backends = [
        Backend::Dsr(REMOTE_POD),
        Backend::Local(LOCAL_POD),
        Backend::Local(second),
    ];
    node.serve(Frontend::node_port(TCP), 0, &backends);
    for (client, pod) in (40_000..).zip([second, LOCAL_POD, second, second, LOCAL_POD]) {
        let packet = Packet::tcp(SYN, (CLIENT, client), ASKED_THERE);
        let seen = node.ingress(&encapsulated(DsrDispatch::Ipip, OTHER, pod, 0, &packet.bytes()));
        assert_eq!(seen.packet, packet.to((pod, 80)).bytes());
    }
    // The same tuple again, to another backend: the node that was asked has balanced it anew.
    let packet = Packet::tcp(SYN, (CLIENT, 40_000), ASKED_THERE);
    let seen = node.ingress(&encapsulated(DsrDispatch::Ipip, OTHER, LOCAL_POD, 0, &packet.bytes()));
    assert_eq!(seen.packet, packet.to((LOCAL_POD, 80)).bytes());
}

#[test]
fn what_is_nobodys_or_somebody_elses_passes_untouched() {
    let inside = Packet::tcp(SYN, CLIENT_SIDE, ASKED_THERE).bytes();
    let ours = |dispatch| encapsulated(dispatch, OTHER, LOCAL_POD, 1, &inside);
    let other_network = {
        let mut frame = ours(DsrDispatch::Geneve);
        frame[48] ^= 1;
        frame
    };
    let with_options = {
        let mut frame = ours(DsrDispatch::Geneve);
        frame[42] = 1;
        frame
    };
    let cut = |dispatch, length: usize| encapsulated(dispatch, OTHER, LOCAL_POD, 1, &inside[..ETHERNET + length]);
    let not_ip = {
        let mut frame = ours(DsrDispatch::Ipip);
        frame[34] = 0;
        frame
    };
    let no_frontend = Packet::tcp(SYN, CLIENT_SIDE, (OTHER, 8080)).bytes();
    let to_itself = encapsulated(DsrDispatch::Geneve, OTHER, NODE, 1, &inside);
    let passing = encapsulated(DsrDispatch::Geneve, OTHER, REMOTE_POD, 1, &inside);
    for (name, mode, frame) in [
        ("Geneve, without DSR", Dsr::Off, ours(DsrDispatch::Geneve)),
        ("IP in IP, without DSR", Dsr::Off, ours(DsrDispatch::Ipip)),
        ("Geneve of another network", Dsr::All, other_network),
        ("Geneve with options", Dsr::All, with_options),
        ("half an IP header inside", Dsr::All, cut(DsrDispatch::Geneve, 10)),
        ("half a TCP header inside", Dsr::All, cut(DsrDispatch::Ipip, 30)),
        ("nothing inside", Dsr::All, cut(DsrDispatch::Ipip, 0)),
        ("no IP inside", Dsr::All, not_ip),
        (
            "IP in IP to no frontend",
            Dsr::All,
            encapsulated(DsrDispatch::Ipip, OTHER, LOCAL_POD, 1, &no_frontend),
        ),
        ("Geneve to this node itself", Dsr::All, to_itself),
        ("Geneve on its way to another node", Dsr::All, passing),
    ] {
        let mut node = Rig::with(&dsr(mode, DsrDispatch::Geneve));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        let seen = node.ingress(&frame);
        assert_eq!((seen.verdict, seen.packet == frame), (Verdict::Next, true), "{name}");
        assert_eq!(node.count(Reason::FlowFromDsr), 0, "{name}");
    }
}

#[test]
fn what_this_node_can_not_serve_goes_back_to_the_node_that_was_asked() {
    let on_this_node = (Ipv4Addr::new(10, 244, 0, 9), 40_000);
    let unknown = Ipv4Addr::new(10, 244, 0, 77);
    for (name, client, asked, pod) in [
        ("a client of this very node", on_this_node, ASKED_THERE, LOCAL_POD),
        ("the node itself as a client", (NODE, 40_000), ASKED_THERE, LOCAL_POD),
        (
            "a frontend that is not known here",
            CLIENT_SIDE,
            (OTHER, 31_000),
            LOCAL_POD,
        ),
        ("a backend that is not known here", CLIENT_SIDE, ASKED_THERE, unknown),
    ] {
        let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        let packet = Packet::tcp(SYN, client, asked).bytes();
        let seen = node.ingress(&encapsulated(DsrDispatch::Geneve, OTHER, pod, 0xc001, &packet));
        let back = encapsulated(DsrDispatch::Geneve, pod, OTHER, 0xc001, &packet);
        assert_eq!((seen.verdict, seen.packet == back), (Verdict::Redirect, true), "{name}");
        assert_eq!(node.count(Reason::DsrSentBack), 1, "{name}");

        let middle = Packet::tcp(ACK, client, asked).bytes();
        let seen = node.ingress(&encapsulated(DsrDispatch::Geneve, OTHER, pod, 0xc001, &middle));
        assert_eq!(seen.verdict, Verdict::Drop, "{name}: too late for SNAT");
    }
}

#[test]
fn a_flow_whose_first_packet_comes_back_gets_snat() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(Dsr::All, dispatch));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
        node.ingress(&request().bytes());
        let inside = request().ttl(63);
        let stranger = Ipv4Addr::new(10, 244, 1, 99);
        let from_a_stranger = encapsulated(dispatch, stranger, NODE, 1, &inside.bytes());
        assert_eq!(node.ingress(&from_a_stranger).packet, from_a_stranger, "{dispatch:?}");

        let seen = node.ingress(&encapsulated(dispatch, REMOTE_POD, NODE, 1, &inside.bytes()));
        assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
        let (src, dst) = endpoints(&seen.packet);
        assert!((SNAT.min..=SNAT.max).contains(&src.1), "{src:?}");
        assert_eq!((src.0, dst), (NODE, (REMOTE_POD, 80)), "{dispatch:?}");
        assert_eq!(
            seen.packet,
            inside.clone().from(src).to(dst).ttl(62).bytes(),
            "{dispatch:?}"
        );

        let answer = node.ingress(&Packet::tcp(SYN | ACK, dst, src).bytes());
        assert_eq!(
            answer.packet,
            Packet::tcp(SYN | ACK, ASKED, CLIENT_SIDE).ttl(63).bytes(),
            "{dispatch:?}"
        );
        let next = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
        assert_eq!(
            node.ingress(&next.bytes()).packet,
            next.from(src).to(dst).ttl(63).bytes(),
            "{dispatch:?}"
        );
    }
}

#[test]
fn a_connection_that_is_under_way_is_not_turned_by_a_packet_that_comes_back() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    for flags in [SYN, ACK] {
        node.ingress(&Packet::tcp(flags, CLIENT_SIDE, ASKED).bytes());
    }
    let back = encapsulated(DsrDispatch::Geneve, REMOTE_POD, NODE, 1, &request().bytes());
    assert_eq!(node.ingress(&back).verdict, Verdict::Drop);
    let next = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
    let seen = node.ingress(&next.bytes());
    let port = outer_port(&seen.packet);
    let expected = encapsulated(DsrDispatch::Geneve, NODE, REMOTE_POD, port, &next.ttl(63).bytes());
    assert_eq!(seen.packet, expected);
}

#[test]
fn source_ranges_hold_at_the_backends_node_as_well() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    let asked = (Ipv4Addr::new(203, 0, 113, 7), 80);
    let frontend = Frontend {
        addr: asked.0,
        port: asked.1,
        flags: flags::LOAD_BALANCER | flags::SOURCE_RANGES,
        ..Frontend::node_port(TCP)
    };
    node.serve(frontend, 0, &[Backend::Local(LOCAL_POD)]);
    let range = AdmittedRange {
        service: 1,
        addr: CLIENT.into(),
        bits: 32,
    };
    node.datapath().v4_mut().apply(&Op::PutRange { range }).unwrap();
    let send = |node: &mut Rig, client| {
        let packet = Packet::tcp(SYN, (client, 40_000), asked);
        node.ingress(&encapsulated(DsrDispatch::Geneve, OTHER, LOCAL_POD, 1, &packet.bytes()))
            .verdict
    };
    assert_eq!(send(&mut node, CLIENT), Verdict::Next);
    assert_eq!(send(&mut node, Ipv4Addr::new(192, 168, 49, 101)), Verdict::Drop);
    assert_eq!(node.count(Reason::DropSourceRange), 1);
}

#[test]
fn what_is_too_big_to_be_encapsulated_is_told_the_client() {
    for (dispatch, largest) in [(DsrDispatch::Geneve, 1_464), (DsrDispatch::Ipip, 1_480)] {
        let mut node = Rig::with(&dsr(Dsr::All, dispatch));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
        node.ingress(&request().bytes());
        let packet = |length: usize, fragment| Packet {
            payload: vec![b'x'; length - 40],
            fragment,
            ..Packet::tcp(ACK, CLIENT_SIDE, ASKED)
        };
        let fits = packet(largest, 0x4000);
        let seen = node.ingress(&fits.bytes());
        assert_eq!(seen.packet.len(), ETHERNET + 1_500, "{dispatch:?}");
        for fragment in [0x4000, 0] {
            let too_big = packet(largest + 1, fragment);
            let seen = node.ingress(&too_big.bytes());
            assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
            let frame = &seen.packet[ETHERNET..];
            assert_eq!(frame.len(), 20 + 8 + 512);
            assert_eq!(frame[..10], [0x45, 0, 2, 28, 0, 0, 0, 0, 64, 1]);
            assert_eq!(checksum(&frame[..20]), 0, "the header's checksum is right");
            assert_eq!(frame[12..16], NODE.octets(), "whom the client asked");
            assert_eq!(frame[16..20], CLIENT.octets());
            assert_eq!(frame[20..22], [3, 4], "fragmentation needed");
            assert_eq!(checksum(&frame[20..]), 0, "the error's checksum is right");
            let mtu = u16::from_be_bytes([frame[26], frame[27]]);
            assert_eq!(usize::from(mtu), largest, "{dispatch:?}");
            assert_eq!(frame[28..], too_big.bytes()[ETHERNET..][..512], "as the client sent it");
        }
        assert_eq!(node.count(Reason::DropTooBig), 2);
    }
}

#[test]
fn an_error_about_an_answer_reaches_the_backend_by_the_node_that_was_asked() {
    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 7);
    let report = |asked: (Ipv4Addr, u16)| IcmpError {
        kind: 3,
        code: 4,
        src: ROUTER,
        dst: asked.0,
        ttl: 64,
        quoted: Packet::tcp(ACK, asked, CLIENT_SIDE),
    };
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(Dsr::All, dispatch));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
        node.ingress(&request().bytes());
        let sent = report(ASKED);
        let seen = node.ingress(&sent.bytes());
        let inside = IcmpError { ttl: 63, ..sent };
        let expected = encapsulated(dispatch, NODE, REMOTE_POD, outer_port(&seen.packet), &inside.bytes());
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Redirect, expected),
            "{dispatch:?}"
        );

        let mut node = Rig::with(&dsr(Dsr::All, dispatch));
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        let first = Packet::tcp(SYN, CLIENT_SIDE, ASKED_THERE);
        node.ingress(&encapsulated(dispatch, OTHER, LOCAL_POD, 1, &first.bytes()));
        let sent = report(ASKED_THERE);
        let seen = node.ingress(&encapsulated(dispatch, OTHER, LOCAL_POD, 1, &sent.bytes()));
        let told = IcmpError {
            dst: LOCAL_POD,
            quoted: Packet::tcp(ACK, (LOCAL_POD, 80), CLIENT_SIDE),
            ..sent.clone()
        };
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Next, told.bytes_with_stale_inner_checksum(&sent)),
            "{dispatch:?}"
        );
    }
}

#[test]
fn a_flow_that_is_only_seen_one_way_ages_by_what_its_client_says() {
    let mut node = Rig::with(&dsr(Dsr::All, DsrDispatch::Geneve));
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Dsr(REMOTE_POD)]);
    let timeouts = Timeouts::default();
    let mut table = FlowTable::<V4>::open(&node.options.bpffs_root).unwrap();
    let mut lives = |idle: u32| {
        let sweep = table.sweep(flow_clock() + idle, &timeouts).unwrap();
        assert_eq!(sweep.fullest, None, "no source port is taken");
        assert_eq!(sweep.encapsulated, sweep.live != 0);
        sweep.live == 1
    };
    for flags in [SYN, ACK] {
        node.ingress(&Packet::tcp(flags, CLIENT_SIDE, ASKED).bytes());
    }
    assert!(lives(86_000), "the client is quiet for a day");
    node.ingress(&Packet::tcp(FIN | ACK, CLIENT_SIDE, ASKED).bytes());
    assert!(lives(110), "the backend may have more to say");
    assert!(!lives(130));
}
