//! Nodes with several devices: which of them a packet may leave by.

use super::{ASKED, CLIENT_SIDE, OWN, assert_left, between, node};
use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, Frontend, Rig, TCP, run},
};
use kpr_node_agent::{
    datapath::{Acceleration, Verdict},
    devices::Device,
};
use std::net::Ipv4Addr;

/// A pod behind the second device, and the hardware addresses there: the node's own, and the next hop's.
const FAR_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 5);
const OWN_THERE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const NEXT_THERE: [u8; 6] = [2, 0, 0, 0, 1, 3];

/// The node's second external device, by which other nodes are reached.
fn eth1(node: &Rig) -> Device {
    for command in [
        "ip link add eth1 address 02:00:00:00:01:01 type veth peer name wire1",
        "ip addr add 192.168.50.2/24 dev eth1",
        "ip link set eth1 up",
        "ip link set wire1 up",
        "ip route add 10.244.2.0/24 via 192.168.50.3",
        "ip neigh add 192.168.50.3 lladdr 02:00:00:00:01:03 dev eth1 nud permanent",
    ] {
        run(command);
    }
    Device {
        name: "eth1".into(),
        ifindex: nix::net::if_::if_nametoindex("eth1").unwrap(),
        addresses: vec![Ipv4Addr::new(192, 168, 50, 2).into()],
        ..node.eth0()
    }
}

fn request() -> Packet {
    Packet::tcp(ACK, CLIENT_SIDE, ASKED)
}

/// Has a client begin a flow to the pod behind the second device.
fn begin(node: &mut Rig) -> (Ipv4Addr, u16) {
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(FAR_POD)]);
    let seen = node.ingress(&Packet::tcp(SYN, CLIENT_SIDE, ASKED).bytes());
    assert_eq!(seen.verdict, Verdict::Redirect);
    endpoints(&seen.packet).0
}

#[test]
fn a_packet_leaves_by_another_device_that_has_the_program() {
    let mut node = node();
    let devices = [node.eth0(), eth1(&node)];
    assert_eq!(
        node.accelerate(&devices, Acceleration::Native),
        ["eth0: native", "eth1: native"]
    );
    let source = begin(&mut node);
    let seen = node.xdp(&request().bytes());
    let expected = request().from(source).to((FAR_POD, 80)).ttl(63).bytes();
    assert_eq!(
        (seen.verdict, seen.packet),
        (Verdict::Redirect, between(expected, OWN_THERE, NEXT_THERE))
    );
    let answer = Packet::tcp(SYN | ACK, (FAR_POD, 80), source);
    let frame = between(answer.bytes(), NEXT_THERE, OWN_THERE);
    let seen = node.xdp_at(&frame, devices[1].ifindex);
    let expected = answer.from(ASKED).to(CLIENT_SIDE).ttl(63).bytes();
    assert_eq!(
        (seen.verdict, seen.packet),
        (Verdict::Redirect, between(expected, OWN, super::OF_CLIENT))
    );
    let stray = between(answer_frame(source), NEXT_THERE, [2, 0, 0, 0, 1, 9]);
    assert_left(&node.xdp_at(&stray, devices[1].ifindex), &stray, "for another machine");
}

fn answer_frame(source: (Ipv4Addr, u16)) -> Vec<u8> {
    Packet::tcp(ACK, (FAR_POD, 80), source).bytes()
}

#[test]
fn a_packet_does_not_leave_by_a_device_without_the_program() {
    let mut node = node();
    let eth1 = eth1(&node);
    begin(&mut node);
    assert_left(&node.xdp(&request().bytes()), &request().bytes(), "never had it");
    let both = [node.eth0(), eth1];
    node.accelerate(&both, Acceleration::Native);
    assert_eq!(node.xdp(&request().bytes()).verdict, Verdict::Redirect);
    node.accelerate(&both[..1], Acceleration::Native);
    assert_left(&node.xdp(&request().bytes()), &request().bytes(), "has it no more");
}

/// A driver can't send what another one received unless it has a program itself; behind the drivers any device can.
#[test]
fn a_packet_does_not_go_from_a_driver_to_a_device_that_has_the_program_behind_its_driver() {
    let mut node = node();
    let eth1 = eth1(&node);
    // No driver of veth takes a program with such an MTU, so one of the two has it behind.
    run("ip link set wire1 mtu 9000");
    run("ip link set eth1 mtu 9000");
    let bridge = Device {
        kind: "bridge".into(),
        ..eth1
    };
    let eth0 = Device {
        kind: String::new(),
        ..node.eth0()
    };
    let devices = [eth0, bridge];
    assert_eq!(
        node.accelerate(&devices, Acceleration::BestEffort),
        ["eth0: native", "eth1: generic"]
    );
    begin(&mut node);
    assert_left(&node.xdp(&request().bytes()), &request().bytes(), "from a driver");
}
