//! Packets of flows with remote backends are sent on, byte by byte as expected.

use super::{
    ASKED, ASKED6, CLIENT_SIDE, CLIENT_SIDE6, OF_CLIENT, OF_OTHER_NODE, OWN, begin, begin_tcp, begin_tcp6, begin6,
    between, node,
};
use crate::{
    packet::{ACK, FIN, Packet, SYN, Transport},
    packet6::{Head, Packet6},
    rig::{REMOTE_POD, REMOTE_POD6, Rig, TCP, UDP, run},
    sweep::flows,
};
use kpr_abi::{
    Reason,
    flow::{direction, state},
};
use kpr_node_agent::datapath::Verdict;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const BACKEND: (std::net::Ipv4Addr, u16) = (REMOTE_POD, 80);
const BACKEND6: (std::net::Ipv6Addr, u16) = (REMOTE_POD6, 80);

#[test]
fn requests_and_replies_are_sent_back_out_by_the_device_that_they_came_in_by() {
    let mut node = node();
    for (proto, first, request, answer) in [
        (
            TCP,
            Packet::tcp(SYN, CLIENT_SIDE, ASKED),
            Packet::tcp(ACK, CLIENT_SIDE, ASKED),
            Packet::tcp(SYN | ACK, BACKEND, CLIENT_SIDE),
        ),
        (
            UDP,
            Packet::udp(CLIENT_SIDE, ASKED),
            Packet::udp(CLIENT_SIDE, ASKED),
            Packet::udp(BACKEND, CLIENT_SIDE),
        ),
    ] {
        let source = begin(&mut node, proto, &first);
        let seen = node.xdp(&request.bytes());
        let expected = request.from(source).to(BACKEND).ttl(63).bytes();
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Transmit, between(expected, OWN, OF_OTHER_NODE)),
            "a request of {proto}"
        );
        let answer = answer.to(source);
        let seen = node.xdp(&answer.bytes());
        let expected = answer.from(ASKED).to(CLIENT_SIDE).ttl(63).bytes();
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Transmit, between(expected, OWN, OF_CLIENT)),
            "an answer of {proto}"
        );
    }
    assert_eq!(node.count(Reason::XdpForwarded), 4);
}

#[test]
fn so_it_is_over_ipv6() {
    let mut node = node();
    for (proto, first, request, answer) in [
        (
            TCP,
            Head::Tcp { flags: SYN },
            Head::Tcp { flags: ACK },
            Head::Tcp { flags: SYN | ACK },
        ),
        (UDP, Head::Udp, Head::Udp, Head::Udp),
    ] {
        let source = begin6(&mut node, proto, &Packet6::new(first, CLIENT_SIDE6, ASKED6));
        let request = Packet6::new(request, CLIENT_SIDE6, ASKED6);
        let seen = node.xdp(&request.bytes());
        let expected = request.from(source).to(BACKEND6).hops(63).bytes();
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Transmit, between(expected, OWN, OF_OTHER_NODE)),
            "a request of {proto}"
        );
        let answer = Packet6::new(answer, BACKEND6, source);
        let seen = node.xdp(&answer.bytes());
        let expected = answer.from(ASKED6).to(CLIENT_SIDE6).hops(63).bytes();
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Transmit, between(expected, OWN, OF_CLIENT)),
            "an answer of {proto}"
        );
    }
}

#[test]
fn a_datagram_without_a_checksum_gets_none() {
    let mut node = node();
    let without = Packet {
        transport: Transport::Udp { checksum: false },
        ..Packet::udp(CLIENT_SIDE, ASKED)
    };
    let source = begin(&mut node, UDP, &without);
    let seen = node.xdp(&without.bytes());
    let expected = without.from(source).to(BACKEND).ttl(63).bytes();
    assert_eq!(seen.packet, between(expected, OWN, OF_OTHER_NODE));
}

/// Sends a packet again and again until it comes out in another way than at first, which must be the second one, and soon.
fn follows(mut send: impl FnMut() -> Vec<u8>, [first, second]: [Vec<u8>; 2]) {
    assert_eq!(send(), first);
    run("ip neigh replace 192.168.49.3 lladdr 02:00:00:00:00:33 dev eth0 nud permanent");
    let changed = Instant::now();
    loop {
        let now = send();
        if now == second {
            return;
        }
        assert_eq!(now, first);
        assert!(changed.elapsed() < Duration::from_secs(2), "{now:02x?}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_flow_asks_for_its_way_once_a_second() {
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x33];
    let mut node = node();
    let asked = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
    let request = asked.bytes();
    let translated = asked.from(begin_tcp(&mut node)).to(BACKEND).ttl(63).bytes();
    let sent = [OF_OTHER_NODE, NEW].map(|next| between(translated.clone(), OWN, next));
    follows(|| node.xdp(&request).packet, sent);
}

#[test]
fn tc_writes_the_link_header_of_a_way_that_is_known_and_leaves_it_to_the_kernel_once_a_second() {
    let mut node = node();
    let asked = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
    let request = asked.bytes();
    let translated = asked.from(begin_tcp(&mut node)).to(BACKEND).ttl(63).bytes();
    let addressed = between(translated.clone(), OWN, OF_OTHER_NODE);
    let (began, mut seen) = (Instant::now(), [0; 2]);
    while seen.contains(&0) {
        let sent = node.ingress(&request);
        assert_eq!(sent.verdict, Verdict::Redirect);
        let kind = [&translated, &addressed]
            .iter()
            .position(|expected| **expected == sent.packet);
        seen[kind.expect("one of the two")] += 1;
        assert!(began.elapsed() < Duration::from_secs(3), "{seen:?}");
        sleep(Duration::from_millis(10));
    }
}

/// The state bits of the entry for the client's packets, and of the one for the backend's.
fn states(node: &Rig) -> [u8; 2] {
    let entries: Vec<_> = flows(&node.options).iter().map(Result::unwrap).collect();
    [direction::FORWARD, direction::REPLY].map(|direction| {
        let mut of = entries.iter().filter(|(key, _)| key.direction == direction);
        of.next().expect("there is one flow").1.state
    })
}

#[test]
fn a_flow_is_seen_to_be_answered_and_closed() {
    let mut node = node();
    let source = begin_tcp(&mut node);
    let there = |flags| Packet::tcp(flags, CLIENT_SIDE, ASKED).bytes();
    let back = |flags| Packet::tcp(flags, BACKEND, source).bytes();
    assert_eq!(states(&node), [state::SEEN, 0]);
    let open = state::SEEN | state::PAST_SYN;
    for (frame, expected) in [
        (back(SYN | ACK), [state::SEEN, open]),
        (there(ACK), [open, open]),
        (there(FIN | ACK), [open | state::CLOSED, open]),
        (back(FIN | ACK), [open | state::CLOSED; 2]),
    ] {
        assert_eq!(node.xdp(&frame).verdict, Verdict::Transmit);
        assert_eq!(states(&node), expected);
    }
    let again = there(SYN);
    let seen = node.xdp(&again);
    assert_eq!(
        (seen.verdict, seen.packet),
        (Verdict::Next, again),
        "a new connection is for tc to begin"
    );
}

#[test]
fn a_syn_that_is_sent_again_goes_where_the_first_one_went() {
    let mut node = node();
    let source = begin_tcp(&mut node);
    let again = Packet::tcp(SYN, CLIENT_SIDE, ASKED);
    let seen = node.xdp(&again.bytes());
    let expected = again.from(source).to(BACKEND).ttl(63).bytes();
    assert_eq!(seen.packet, between(expected, OWN, OF_OTHER_NODE));
    begin_tcp6(&mut node);
    let again = Packet6::new(Head::Tcp { flags: SYN }, CLIENT_SIDE6, ASKED6);
    assert_eq!(node.xdp(&again.bytes()).verdict, Verdict::Transmit);
}
