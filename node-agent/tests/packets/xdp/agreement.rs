//! The same packets through tc and XDP: the same bytes, and the same state left behind.

use super::{ASKED, ASKED6, CLIENT_SIDE, CLIENT_SIDE6, begin, begin6, node};
use crate::{
    packet::{ACK, FIN, Packet, RST, SYN, Transport},
    packet6::{Head, Packet6},
    rig::{REMOTE_POD, REMOTE_POD6, Rig, TCP, UDP},
};
use aya::maps::{HashMap, Map, MapData};
use kpr_abi::{Addr4, Addr6, FlowKey, FlowValue, maps};
use kpr_node_agent::datapath::{Pins, Verdict};
use std::collections::BTreeMap;

/// The node's flows of a family.
struct Flows<A: aya::Pod + kpr_abi::Address>(HashMap<MapData, FlowKey<A>, FlowValue<A>>);

impl<A: aya::Pod + kpr_abi::Address> Flows<A> {
    fn open(node: &Rig, name: &str) -> Self {
        let data = MapData::from_pin(Pins::new(&node.options.bpffs_root).map(name)).unwrap();
        Self(Map::from_map_data(data).unwrap().try_into().unwrap())
    }

    /// All of them, last seen at an hour that both ways have seen.
    fn all(&self) -> BTreeMap<FlowKey<A>, FlowValue<A>> {
        let entries = self.0.iter().map(Result::unwrap);
        entries
            .map(|(key, value)| (key, FlowValue { last_seen: 0, ..value }))
            .collect()
    }

    fn restore(&mut self, entries: &BTreeMap<FlowKey<A>, FlowValue<A>>) {
        for (key, value) in entries {
            self.0.insert(key, value, 0).unwrap();
        }
    }
}

/// Runs the frame through both, from the same state on, and compares.
#[track_caller]
fn agree<A: aya::Pod + kpr_abi::Address>(node: &mut Rig, flows: &mut Flows<A>, frame: &[u8], name: &str) {
    let before = flows.all();
    let by_tc = node.ingress(frame);
    let after_tc = flows.all();
    flows.restore(&before);
    let by_xdp = node.xdp(frame);
    assert_eq!(by_tc.verdict, Verdict::Redirect, "{name}");
    assert_eq!(by_xdp.verdict, Verdict::Transmit, "{name}");
    // The kernel puts tc's link header on behind the program.
    assert_eq!(by_xdp.packet[12..], by_tc.packet[12..], "{name}");
    assert_eq!(flows.all(), after_tc, "{name}");
    let seen = flows.0.iter().map(|entry| entry.unwrap().1.last_seen).max();
    assert!(seen > Some(0), "{name}: the time is noted");
}

/// Lengths, time to live, class of service and checksums that come out as 0 and as all ones.
#[test]
fn over_ipv4() {
    let mut node = node();
    let mut flows = Flows::<Addr4>::open(&node, maps::FLOWS4);
    let source = begin(&mut node, TCP, &Packet::tcp(SYN, CLIENT_SIDE, ASKED));
    let udp_source = begin(&mut node, UDP, &Packet::udp(CLIENT_SIDE, ASKED));
    for payload in [0_usize, 1, 2, 1_400, 1_440] {
        for ttl in [2, 64, 255] {
            for flags in [ACK, SYN | ACK, FIN | ACK, RST, RST | ACK] {
                let name = format!("TCP {flags:#x}, {payload} bytes, TTL {ttl}");
                for (from, to) in [(CLIENT_SIDE, ASKED), ((REMOTE_POD, 80), source)] {
                    let packet = Packet {
                        payload: vec![0xa5; payload],
                        ..Packet::tcp(flags, from, to).ttl(ttl)
                    };
                    let mut frame = packet.bytes();
                    frame[15] = 0;
                    agree(&mut node, &mut flows, &frame, &name);
                }
            }
            for (from, to) in [(CLIENT_SIDE, ASKED), ((REMOTE_POD, 80), udp_source)] {
                for checksum in [true, false] {
                    let packet = Packet {
                        payload: vec![0x5a; payload],
                        transport: Transport::Udp { checksum },
                        ..Packet::udp(from, to).ttl(ttl)
                    };
                    let name = format!("UDP, checksum {checksum}, {payload} bytes, TTL {ttl}");
                    agree(&mut node, &mut flows, &packet.bytes(), &name);
                }
            }
        }
    }
}

/// Packets whose checksum is 0 or all ones, or next to that, before or after.
#[test]
fn over_ipv4_where_checksums_are_at_their_ends() {
    let mut node = node();
    let mut flows = Flows::<Addr4>::open(&node, maps::FLOWS4);
    let segment = Packet::tcp(ACK, CLIENT_SIDE, ASKED);
    let datagram = Packet::udp(CLIENT_SIDE, ASKED);
    // UDP last: each datagram looks whether the backend is still there.
    for (first, packet, field) in [
        (Packet::tcp(SYN, CLIENT_SIDE, ASKED), segment, 50..52),
        (datagram.clone(), datagram, 40..42),
    ] {
        let source = begin(&mut node, if field.start == 50 { TCP } else { UDP }, &first);
        let with = |payload: u16| Packet {
            payload: payload.to_be_bytes().to_vec(),
            ..packet.clone()
        };
        let is_at_an_end = |packet: Packet| {
            let frame = packet.bytes();
            let checksum = u16::from_be_bytes(frame[field.clone()].try_into().unwrap());
            matches!(checksum, 0 | 1 | 0xfffe | 0xffff)
        };
        let payloads = (0..=u16::MAX).filter(|&payload| {
            is_at_an_end(with(payload)) || is_at_an_end(with(payload).from(source).to((REMOTE_POD, 80)).ttl(63))
        });
        let payloads: Vec<_> = payloads.collect();
        assert!(payloads.len() >= 6, "{payloads:?}");
        for payload in payloads {
            let frame = with(payload).bytes();
            let name = format!("{payload:#06x}, {:?}", &frame[field.clone()]);
            agree(&mut node, &mut flows, &frame, &name);
        }
    }
}

#[test]
fn over_ipv6() {
    let mut node = node();
    let mut flows = Flows::<Addr6>::open(&node, maps::FLOWS6);
    let source = begin6(
        &mut node,
        TCP,
        &Packet6::new(Head::Tcp { flags: SYN }, CLIENT_SIDE6, ASKED6),
    );
    for hops in [2, 64, 255] {
        for flags in [ACK, SYN | ACK, FIN | ACK, RST] {
            for (from, to) in [(CLIENT_SIDE6, ASKED6), ((REMOTE_POD6, 80), source)] {
                let frame = Packet6::new(Head::Tcp { flags }, from, to).hops(hops).bytes();
                agree(&mut node, &mut flows, &frame, &format!("TCP {flags:#x}, {hops} hops"));
            }
        }
    }
    let source = begin6(&mut node, UDP, &Packet6::new(Head::Udp, CLIENT_SIDE6, ASKED6));
    for (from, to) in [(CLIENT_SIDE6, ASKED6), ((REMOTE_POD6, 80), source)] {
        let frame = Packet6::new(Head::Udp, from, to).bytes();
        agree(&mut node, &mut flows, &frame, "UDP");
    }
}
