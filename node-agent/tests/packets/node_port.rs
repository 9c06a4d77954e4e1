//! NodePort from outside: to a local backend, to a remote one, and what is nobody's.

use crate::{
    packet::{ACK, FIN, Packet, RST, SYN, Transport, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, SNAT, TCP, UDP},
};
use kpr_abi::{Reason, V4};
use kpr_node_agent::datapath::{FlowTable, Timeouts, Verdict, flow_clock};
use std::net::Ipv4Addr;

const CLIENT_PORT: u16 = 40_000;

fn request() -> Packet {
    Packet::tcp(SYN, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT))
}

#[test]
fn tcp_to_a_local_backend_keeps_the_client_and_goes_up_the_stack() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    let seen = node.ingress(&request().bytes());
    assert_eq!(seen.verdict, Verdict::Next);
    assert_eq!(
        seen.packet,
        request().to((LOCAL_POD, 80)).bytes(),
        "only the destination changes"
    );
    assert_eq!(node.count(Reason::FlowToLocal), 1);

    let answer = Packet::tcp(SYN | ACK, (LOCAL_POD, 80), (CLIENT, CLIENT_PORT));
    let seen = node.egress(&answer.bytes());
    assert_eq!(seen.verdict, Verdict::Next);
    assert_eq!(
        seen.packet,
        answer.from((NODE, NODE_PORT)).bytes(),
        "the client sees whom it asked"
    );
}

/// Whether a sweep finds a flow without a frontend; none if it does not look for any.
fn lingers(node: &Rig) -> Option<bool> {
    let mut table = FlowTable::<V4>::open(&node.options.bpffs_root).unwrap();
    table.sweep(flow_clock(), &Timeouts::default()).unwrap().lingers
}

/// A client with a connection to the pod itself asks the NodePort from the same port: to the pod, both are one.
#[test]
fn a_connection_past_the_frontend_keeps_its_tuple_and_the_flow_gets_another_port() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    let untouched = |node: &mut Rig, flags: u8| {
        let packet = Packet::tcp(flags, (LOCAL_POD, 80), (CLIENT, CLIENT_PORT)).bytes();
        let seen = node.egress(&packet);
        assert_eq!(
            (seen.verdict, seen.packet == packet),
            (Verdict::Next, true),
            "flags {flags:#x}"
        );
    };
    untouched(&mut node, ACK);
    let seen = node.ingress(&request().bytes());
    assert_eq!(seen.packet, request().to((LOCAL_POD, 80)).bytes());
    // What the pod says to a SYN inside of a connection (RFC 5961 §4.2): translated, it would have the client reset it.
    untouched(&mut node, ACK);

    let seen = node.ingress(&request().bytes());
    let ((_, port), _) = endpoints(&seen.packet);
    assert!((SNAT.min..=SNAT.max).contains(&port), "{port} is in the SNAT range");
    let moved = (CLIENT, port);
    assert_eq!(
        seen.packet,
        request().from(moved).to((LOCAL_POD, 80)).bytes(),
        "still the client's own address"
    );
    for flags in [SYN | ACK, ACK] {
        let answer = node.egress(&Packet::tcp(flags, (LOCAL_POD, 80), moved).bytes());
        let expected = Packet::tcp(flags, (NODE, NODE_PORT), (CLIENT, CLIENT_PORT));
        assert_eq!(answer.packet, expected.bytes(), "flags {flags:#x}");
        untouched(&mut node, ACK);
    }
}

/// The same in the other order.
#[test]
fn a_connection_past_the_frontend_gets_another_port_than_a_flow_that_is_open() {
    let direct = |flags| Packet::tcp(flags, (CLIENT, CLIENT_PORT), (LOCAL_POD, 80)).bytes();
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    assert_eq!(node.ingress(&direct(SYN)).packet, direct(SYN), "there is no flow yet");
    node.ingress(&request().bytes());
    node.egress(&Packet::tcp(SYN | ACK, (LOCAL_POD, 80), (CLIENT, CLIENT_PORT)).bytes());

    assert_eq!(node.ingress(&direct(ACK)).packet, direct(ACK), "nothing that begins");
    let idle = lingers(&node);
    let ((source, port), to) = endpoints(&node.ingress(&direct(SYN)).packet);
    assert_eq!((source, to), (CLIENT, (LOCAL_POD, 80)));
    assert!((SNAT.min..=SNAT.max).contains(&port), "{port} is in the SNAT range");
    for flags in [SYN, ACK] {
        let moved = Packet::tcp(flags, (CLIENT, port), (LOCAL_POD, 80)).bytes();
        assert_eq!(node.ingress(&direct(flags)).packet, moved, "flags {flags:#x}");
    }
    for (flags, answers, to, from) in [
        (SYN | ACK, port, (CLIENT, CLIENT_PORT), (LOCAL_POD, 80)),
        (ACK, port, (CLIENT, CLIENT_PORT), (LOCAL_POD, 80)),
        (ACK, CLIENT_PORT, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT)),
    ] {
        let answer = Packet::tcp(flags, (LOCAL_POD, 80), (CLIENT, answers)).bytes();
        let expected = Packet::tcp(flags, from, to).bytes();
        assert_eq!(node.egress(&answer).packet, expected, "from {from:?}");
    }
    let later = Packet::tcp(ACK, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT)).bytes();
    let expected = Packet::tcp(ACK, (CLIENT, CLIENT_PORT), (LOCAL_POD, 80)).bytes();
    assert_eq!(node.ingress(&later).packet, expected, "the flow goes on as it was");
    assert_eq!([idle, lingers(&node)], [None, Some(true)], "the agent hears of it");
}

#[test]
fn nothing_is_accepted_in_the_name_of_a_flow_that_is_over() {
    for (name, ends) in [
        ("closed", vec![(true, FIN | ACK), (false, FIN | ACK)]),
        ("reset by the pod", vec![(false, RST)]),
        ("reset by the client", vec![(true, RST)]),
    ] {
        let mut node = Rig::new();
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        node.ingress(&request().bytes());
        let accepts_from = |source: (Ipv4Addr, u16)| Packet::tcp(SYN | ACK, source, (CLIENT, CLIENT_PORT)).bytes();
        let answered = |node: &mut Rig, from: (Ipv4Addr, u16), when: &str| {
            let seen = node.egress(&accepts_from((LOCAL_POD, 80)));
            assert_eq!(seen.packet, accepts_from(from), "{name}, {when}");
        };
        answered(&mut node, (NODE, NODE_PORT), "first");
        node.ingress(&Packet::tcp(ACK, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT)).bytes());
        // A pod that has no room for the connection yet forgets the client's last word, and asks for it again.
        answered(&mut node, (NODE, NODE_PORT), "sent again");
        for (by_client, flags) in ends {
            if by_client {
                node.ingress(&Packet::tcp(flags, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT)).bytes());
            } else {
                node.egress(&Packet::tcp(flags, (LOCAL_POD, 80), (CLIENT, CLIENT_PORT)).bytes());
            }
        }
        answered(&mut node, (LOCAL_POD, 80), "for a connection to the pod itself");
    }
}

#[test]
fn tcp_to_a_remote_backend_gets_the_nodes_address_and_its_reply_comes_back() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let seen = node.ingress(&request().bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let (src, dst) = endpoints(&seen.packet);
    assert_eq!((src.0, dst), (NODE, (REMOTE_POD, 80)));
    assert!((SNAT.min..=SNAT.max).contains(&src.1), "{} is in the SNAT range", src.1);
    assert_eq!(
        seen.packet,
        request().from(src).to(dst).ttl(63).bytes(),
        "one hop, right checksums"
    );
    assert_eq!(node.count(Reason::FlowToRemote), 1);

    let answer = Packet::tcp(SYN | ACK, (REMOTE_POD, 80), src).ttl(62);
    let seen = node.ingress(&answer.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    let expected = answer.from((NODE, NODE_PORT)).to((CLIENT, CLIENT_PORT)).ttl(61);
    assert_eq!(seen.packet, expected.bytes());
}

#[test]
fn later_packets_of_a_flow_take_the_same_way() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let first = node.ingress(&request().bytes());
    let (src, dst) = endpoints(&first.packet);
    for _ in 0..10 {
        let packet = Packet::tcp(ACK, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT));
        let seen = node.ingress(&packet.bytes());
        assert_eq!(seen.packet, packet.from(src).to(dst).ttl(63).bytes());
    }
    assert_eq!(node.count(Reason::FlowToRemote), 1, "one flow");
}

#[test]
fn udp_is_translated_with_and_without_a_checksum() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Local(LOCAL_POD)]);
    for (port, checksum) in [(5_000, true), (5_001, false)] {
        let mut packet = Packet::udp((CLIENT, port), (NODE, NODE_PORT));
        packet.transport = Transport::Udp { checksum };
        let seen = node.ingress(&packet.bytes());
        assert_eq!(seen.packet, packet.to((LOCAL_POD, 80)).bytes(), "checksum: {checksum}");
    }
}

#[test]
fn ip_options_move_the_ports_not_the_result() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    // No operation, three times, and the end of the list.
    for words in [1, 5, 10] {
        let mut packet = request();
        packet.src.1 = 41_000 + words;
        packet.options = [1, 1, 1, 0].repeat(usize::from(words));
        let seen = node.ingress(&packet.bytes());
        assert_eq!(
            seen.packet,
            packet.to((LOCAL_POD, 80)).bytes(),
            "{words} words of options"
        );
    }
}

#[test]
fn a_frame_for_another_machine_begins_nothing() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let mut frame = Packet::tcp(SYN, (CLIENT, 40_000), (NODE, NODE_PORT)).bytes();
    // A switch that does not know yet where that machine is floods it everywhere.
    frame[5] = 0x77;
    let seen = node.ingress(&frame);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, frame));
    let answer = Packet::tcp(SYN | ACK, (REMOTE_POD, 80), (NODE, SNAT.min)).bytes();
    assert_eq!(node.ingress(&answer).verdict, Verdict::Next, "no flow was made");
}

#[test]
fn what_is_no_services_passes_untouched() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    let elsewhere = Ipv4Addr::new(192, 168, 49, 77);
    for (name, packet) in [
        ("another port", request().to((NODE, 22))),
        ("a NodePort that no service has", request().to((NODE, NODE_PORT + 1))),
        (
            "the same port with UDP",
            Packet::udp((CLIENT, CLIENT_PORT), (NODE, NODE_PORT)),
        ),
        (
            "the port on an address that is not this node's",
            request().to((elsewhere, NODE_PORT)),
        ),
        ("an SNAT port without a flow", request().to((NODE, SNAT.min))),
        (
            "TCP in mid-flow that was not balanced here",
            Packet::tcp(ACK, (CLIENT, 41_111), (NODE, NODE_PORT)),
        ),
        (
            "a reset in mid-flow",
            Packet::tcp(RST, (CLIENT, 41_112), (NODE, NODE_PORT)),
        ),
    ] {
        let bytes = packet.bytes();
        let seen = node.ingress(&bytes);
        assert_eq!((seen.verdict, &seen.packet), (Verdict::Next, &bytes), "{name}");
        let seen = node.egress(&bytes);
        assert_eq!(
            (seen.verdict, &seen.packet),
            (Verdict::Next, &bytes),
            "{name}, going out"
        );
    }
    assert_eq!(node.count(Reason::PassMidFlow), 2);
}

#[test]
fn malformed_and_foreign_frames_pass_untouched() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    let good = request().bytes();
    let mut wrong_version = good.clone();
    wrong_version[14] = 0x65;
    let mut short_header = good.clone();
    short_header[14] = 0x44;
    let mut arp = good.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut cut = good.clone();
    cut.truncate(14 + 20 + 6);
    for (name, frame) in [
        ("IP version 6 in an IPv4 frame", wrong_version),
        ("a header shorter than a header", short_header),
        ("ARP", arp),
        ("cut off in the TCP header", cut),
    ] {
        let seen = node.ingress(&frame);
        assert_eq!((seen.verdict, seen.packet), (Verdict::Next, frame), "{name}");
    }
}

#[test]
fn fragments_follow_the_first_one_both_ways_to_a_local_and_to_a_remote_backend() {
    let more = 0x2000;
    for (backend, address) in [
        (Backend::Local(LOCAL_POD), LOCAL_POD),
        (Backend::Remote(REMOTE_POD), REMOTE_POD),
    ] {
        let mut node = Rig::new();
        node.serve(Frontend::node_port(UDP), 0, &[backend]);
        let mut first = Packet::udp((CLIENT, CLIENT_PORT), (NODE, NODE_PORT));
        first.fragment = more;
        let sent = node.ingress(&first.bytes());
        let (src, dst) = endpoints(&sent.packet);
        assert_eq!(dst, (address, 80));
        let ttl = if address == LOCAL_POD { 64 } else { 63 };
        assert_eq!(sent.packet, first.clone().from(src).to(dst).ttl(ttl).bytes());

        // What follows has no ports and no checksum: any bytes.
        let later = first.clone().later_fragment(1_480 / 8);
        let seen = node.ingress(&later.bytes());
        assert_eq!(seen.verdict, sent.verdict);
        assert_eq!(seen.packet, later.clone().from(src).to(dst).ttl(ttl).bytes());

        let mut answer = Packet::udp(dst, src);
        answer.fragment = more;
        for packet in [answer.clone(), answer.later_fragment(100)] {
            let bytes = packet.bytes();
            let seen = if address == LOCAL_POD {
                node.egress(&bytes)
            } else {
                node.ingress(&bytes)
            };
            let expected = packet.from((NODE, NODE_PORT)).to((CLIENT, CLIENT_PORT)).ttl(ttl);
            assert_eq!(seen.packet, expected.bytes());
        }
    }
}

#[test]
fn a_later_fragment_whose_first_was_never_seen_passes_untouched() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(UDP), 0, &[Backend::Local(LOCAL_POD)]);
    let packet = Packet::udp((CLIENT, CLIENT_PORT), (NODE, NODE_PORT))
        .later_fragment(10)
        .bytes();
    let seen = node.ingress(&packet);
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, packet));
}

#[test]
fn a_load_balancer_address_without_endpoints_is_refused_in_its_own_name() {
    use crate::packet::IcmpError;
    let vip = Ipv4Addr::new(203, 0, 113, 7);
    let nobody = (NODE, SNAT.max);
    let client = (CLIENT, CLIENT_PORT);
    let mut node = Rig::new();
    for proto in [TCP, UDP] {
        let flags = kpr_abi::service::flags::LOAD_BALANCER;
        node.serve(
            Frontend {
                addr: vip,
                port: 443,
                flags,
                ..Frontend::node_port(proto)
            },
            0,
            &[],
        );
    }

    let syn = request().to((vip, 443));
    let seen = node.ingress(&syn.bytes());
    assert_eq!((seen.verdict, seen.packet), (Verdict::Next, syn.to(nobody).bytes()));
    let reset = Packet::tcp(RST | ACK, nobody, client);
    assert_eq!(node.egress(&reset.bytes()).packet, reset.from((vip, 443)).bytes());

    let datagram = Packet::udp(client, (vip, 443));
    let led = node.ingress(&datagram.bytes()).packet;
    assert_eq!(led, datagram.clone().to(nobody).bytes());
    let quoted = datagram.clone().to(nobody);
    let unreachable = IcmpError {
        kind: 3,
        code: 3,
        src: NODE,
        dst: CLIENT,
        ttl: 64,
        quoted,
    };
    let told = IcmpError {
        src: vip,
        quoted: datagram.clone(),
        ..unreachable.clone()
    };
    assert_eq!(
        node.egress(&unreachable.bytes()).packet,
        told.bytes_with_stale_inner_checksum(&unreachable)
    );
    assert_eq!(node.count(Reason::RefuseNoEndpoint), 2);

    let flags = kpr_abi::service::flags::LOAD_BALANCER;
    let served = Frontend {
        addr: vip,
        port: 443,
        flags,
        ..Frontend::node_port(UDP)
    };
    node.serve(served, 10, &[Backend::Local(LOCAL_POD)]);
    assert_eq!(
        node.ingress(&datagram.bytes()).packet,
        datagram.to((LOCAL_POD, 80)).bytes(),
        "the same flow, at once"
    );
}

#[test]
fn two_node_ports_of_one_local_backend_keep_one_clients_flows_apart() {
    let mut node = Rig::new();
    let other = Frontend {
        port: NODE_PORT + 1,
        ..Frontend::node_port(TCP)
    };
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.serve(other, 10, &[Backend::Local(LOCAL_POD)]);
    for port in [NODE_PORT, NODE_PORT + 1] {
        let packet = request().to((NODE, port));
        let (src, dst) = endpoints(&node.ingress(&packet.bytes()).packet);
        assert_eq!((src.0, dst), (CLIENT, (LOCAL_POD, 80)), "the client's address stays");
        let answer = Packet::tcp(SYN | ACK, dst, src);
        let (from, to) = endpoints(&node.egress(&answer.bytes()).packet);
        assert_eq!((from, to), ((NODE, port), (CLIENT, CLIENT_PORT)));
    }
}

#[test]
fn a_packet_at_the_end_of_its_life_is_not_forwarded() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    assert_eq!(node.ingress(&request().ttl(1).bytes()).verdict, Verdict::Drop);
    assert_eq!(node.count(Reason::DropTtl), 1);
}

#[test]
fn a_backend_without_a_route_is_counted() {
    let mut node = Rig::new();
    node.serve(
        Frontend::node_port(TCP),
        0,
        &[Backend::Remote(Ipv4Addr::new(127, 1, 2, 3))],
    );
    assert_eq!(node.ingress(&request().bytes()).verdict, Verdict::Drop);
    assert_eq!(node.count(Reason::DropNoRoute), 1);
}

#[test]
fn a_syn_on_a_closed_flow_or_a_gone_backend_is_balanced_anew() {
    use kpr_node_agent::plan::Op;
    let other = Ipv4Addr::new(10, 244, 0, 9);
    for closed in [true, false] {
        let mut node = Rig::new();
        node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
        node.ingress(&request().bytes());
        node.serve(Frontend::node_port(TCP), 10, &[Backend::Local(other)]);
        if closed {
            node.ingress(&Packet::tcp(FIN | ACK, (CLIENT, CLIENT_PORT), (NODE, NODE_PORT)).bytes());
        } else {
            node.datapath().v4_mut().apply(&Op::ClearBackend { id: 1 }).unwrap();
        }
        assert_eq!(
            node.ingress(&request().bytes()).packet,
            request().to((other, 80)).bytes(),
            "closed: {closed}"
        );
    }
}
