//! The filter before the frontends, which spares packets of none a look-up.

use crate::{
    packet::{Packet, SYN},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, Rig, TCP, settings},
};
use aya::maps::{Array, Map, MapData};
use kpr_abi::{filter, maps, service::flags};
use kpr_node_agent::plan::Op;
use std::{collections::HashMap, net::Ipv4Addr};

const PORT: u16 = 443;

fn external(host: u8) -> Frontend {
    Frontend {
        addr: Ipv4Addr::new(203, 0, 113, host),
        port: PORT,
        flags: flags::EXTERNAL_IP,
        ..Frontend::node_port(TCP)
    }
}

/// Whether the first packet of a flow to the frontend is led to its backend; else it passes untouched.
fn is_led(node: &mut Rig, client_port: u16, frontend: Frontend) -> bool {
    let packet = Packet::tcp(SYN, (CLIENT, client_port), (frontend.addr, frontend.port));
    let untouched = packet.bytes();
    let seen = node.ingress(&untouched).packet;
    let is_led = seen == packet.to((LOCAL_POD, 80)).bytes();
    assert!(is_led || seen == untouched);
    is_led
}

fn words(node: &Rig) -> Array<MapData, u32> {
    let pin = node.options.bpffs_root.join("v1/maps").join(maps::FILTER4);
    Array::try_from(Map::Array(MapData::from_pin(pin).unwrap())).unwrap()
}

fn set_bits(node: &Rig) -> u32 {
    words(node).iter().map(|word| word.unwrap().count_ones()).sum()
}

/// Two frontends that have the same bit.
fn with_one_bit() -> (Frontend, Frontend) {
    let mut seen = HashMap::new();
    let hosts = (1..=u8::MAX).map(external);
    let mut all = hosts.flat_map(|frontend| (1..1_024).map(move |port| Frontend { port, ..frontend }));
    let pair = all.find_map(|frontend| {
        let earlier = seen.insert(filter::place(&frontend.key()), frontend);
        Some((earlier?, frontend))
    });
    pair.unwrap()
}

#[test]
fn a_bit_is_there_as_long_as_a_frontend_has_it() {
    let mut node = Rig::new();
    let (first, second) = with_one_bit();
    node.serve(first, 0, &[Backend::Local(LOCAL_POD)]);
    node.republish(second, 10, vec![1]);
    assert_eq!(set_bits(&node), 1);
    assert!(is_led(&mut node, 40_000, first) && is_led(&mut node, 40_001, second));
    let key = first.key();
    // Twice: what is not there any more takes nothing from the other.
    for client_port in [40_002, 40_003] {
        node.datapath().v4_mut().apply(&Op::DeleteService { key }).unwrap();
        assert!(!is_led(&mut node, client_port, first) && is_led(&mut node, client_port + 10, second));
        assert_eq!(set_bits(&node), 1);
    }
    let key = second.key();
    node.datapath().v4_mut().apply(&Op::DeleteService { key }).unwrap();
    assert_eq!(set_bits(&node), 0);
}

#[test]
fn a_start_mends_the_filter_before_programs_ask_it() {
    let mut node = Rig::new();
    node.serve(external(1), 0, &[Backend::Local(LOCAL_POD)]);
    node.datapath = None;
    // As an agent leaves it that knows of no filter: frontends without bits, and bits without frontends.
    let mut left = words(&node);
    for word in 0..filter::WORDS {
        left.set(word, u32::from(word % 7 == 0), 0).unwrap();
    }
    let (word, bit) = filter::place(&external(1).key());
    left.set(word, !bit, 0).unwrap();
    node.start(&settings());
    assert_eq!(set_bits(&node), 1);
    assert!(is_led(&mut node, 40_000, external(1)));
}
