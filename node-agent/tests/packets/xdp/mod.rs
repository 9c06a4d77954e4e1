//! XDP: what it finishes comes out as tc would send it, and all else goes up as it came.

mod agreement;
mod attaching;
mod devices;
mod explained;
mod finished;
mod left;

use crate::{
    packet::{Packet, SYN, endpoints},
    packet6::{self, Head, Packet6},
    rig::{
        Backend, CLIENT, CLIENT6, Frontend, NODE, NODE_PORT, NODE6, REMOTE_POD, REMOTE_POD6, Rig, TCP, run, settings,
    },
};
use kpr_node_agent::datapath::{Acceleration, Settings, Trial, Verdict};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Hardware addresses: the node's own, the client's, and the other node's.
pub(crate) const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const OF_CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0x64];
pub(crate) const OF_OTHER_NODE: [u8; 6] = [2, 0, 0, 0, 0, 3];
const CLIENT_SIDE: (Ipv4Addr, u16) = (CLIENT, 40_000);
const ASKED: (Ipv4Addr, u16) = (NODE, NODE_PORT);
const CLIENT_SIDE6: (Ipv6Addr, u16) = (CLIENT6, 40_000);
const ASKED6: (Ipv6Addr, u16) = (NODE6, NODE_PORT);

/// A node whose neighbours are known, with XDP in the driver of its device.
fn node() -> Rig {
    node_with(&settings())
}

/// The same with other settings.
pub(crate) fn node_with(settings: &Settings) -> Rig {
    let mut node = Rig::with(settings);
    for command in [
        "ip neigh add 192.168.49.100 lladdr 02:00:00:00:00:64 dev eth0 nud permanent",
        "ip neigh add 192.168.49.3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent",
        "ip neigh add fd00:49::100 lladdr 02:00:00:00:00:64 dev eth0 nud permanent",
        "ip neigh add fd00:49::3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent",
    ] {
        run(command);
    }
    let eth0 = node.eth0();
    assert_eq!(node.accelerate(&[eth0], Acceleration::Native), ["eth0: native"]);
    node
}

/// Has a client begin a flow to the remote pod, with a NodePort of this protocol: the flow's source at the node.
fn begin(node: &mut Rig, proto: u8, first: &Packet) -> (Ipv4Addr, u16) {
    node.serve(Frontend::node_port(proto), 0, &[Backend::Remote(REMOTE_POD)]);
    let seen = node.ingress(&first.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect, "tc begins the flow");
    endpoints(&seen.packet).0
}

/// The same over IPv6.
fn begin6(node: &mut Rig, proto: u8, first: &Packet6) -> (Ipv6Addr, u16) {
    node.serve6(proto, REMOTE_POD6, false);
    let seen = node.ingress(&first.bytes());
    assert_eq!(seen.verdict, Verdict::Redirect, "tc begins the flow");
    packet6::endpoints(&seen.packet).0
}

/// A flow of TCP.
fn begin_tcp(node: &mut Rig) -> (Ipv4Addr, u16) {
    begin(node, TCP, &Packet::tcp(SYN, CLIENT_SIDE, ASKED))
}

/// The same over IPv6.
fn begin_tcp6(node: &mut Rig) -> (Ipv6Addr, u16) {
    begin6(node, TCP, &Packet6::new(Head::Tcp { flags: SYN }, CLIENT_SIDE6, ASKED6))
}

/// The frame, with other hardware addresses.
fn between(mut frame: Vec<u8>, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame
}

/// The frame went up as it came.
#[track_caller]
fn assert_left(seen: &Trial, frame: &[u8], name: &str) {
    assert_eq!(seen.verdict, Verdict::Next, "{name}");
    assert_eq!(seen.packet, frame, "{name}");
}
