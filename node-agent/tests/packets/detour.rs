//! Answers that leave by another device than their request came in by: routing rules send a pod's packets where they will.

use crate::{
    packet::{ACK, Packet, SYN},
    packet6::{Head, Packet6},
    rig::{Backend, CLIENT, CLIENT6, Frontend, LOCAL_POD, LOCAL_POD6, NODE, NODE_PORT, NODE6, Rig, TCP},
};
use kpr_node_agent::datapath::{Side, Trial, Verdict};

/// As if the packet left by the rig's other device. The request has come by `eth0`, which also leads to the client.
fn leave_by_the_other(node: &mut Rig, packet: &[u8]) -> Trial {
    let other = nix::net::if_::if_nametoindex("pod").unwrap();
    node.datapath().trial(Side::Egress, packet, other).unwrap()
}

#[test]
fn an_answer_is_sent_by_the_device_that_was_asked_and_no_hop_is_counted_twice() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&Packet::tcp(SYN, (CLIENT, 40_000), (NODE, NODE_PORT)).bytes());
    let answer = Packet::tcp(SYN | ACK, (LOCAL_POD, 80), (CLIENT, 40_000)).ttl(63);
    let seen = leave_by_the_other(&mut node, &answer.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    assert_eq!(seen.packet, answer.from((NODE, NODE_PORT)).bytes());
}

#[test]
fn so_it_is_over_ipv6() {
    let mut node = Rig::new();
    node.serve6(TCP, LOCAL_POD6, true);
    let request = Packet6::new(Head::Tcp { flags: SYN }, (CLIENT6, 40_000), (NODE6, NODE_PORT));
    node.ingress(&request.bytes());
    let answer = Packet6::new(Head::Tcp { flags: SYN | ACK }, (LOCAL_POD6, 80), (CLIENT6, 40_000));
    let seen = leave_by_the_other(&mut node, &answer.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    assert_eq!(seen.packet, answer.from((NODE6, NODE_PORT)).bytes());
}

#[test]
fn an_answer_that_leaves_by_the_device_that_was_asked_goes_on() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.ingress(&Packet::tcp(SYN, (CLIENT, 40_000), (NODE, NODE_PORT)).bytes());
    let answer = Packet::tcp(SYN | ACK, (LOCAL_POD, 80), (CLIENT, 40_000));
    let seen = node.egress(&answer.bytes());
    assert_eq!(
        (seen.verdict, seen.packet),
        (Verdict::Next, answer.from((NODE, NODE_PORT)).bytes())
    );
}
