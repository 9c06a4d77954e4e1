//! `loadBalancerSourceRanges`: who is inside connects, who is outside is dropped.

use crate::{
    packet::{Packet, SYN},
    rig::{Backend, Frontend, LOCAL_POD, Rig, TCP},
};
use kpr_abi::{Addr4, Reason, service::flags};
use kpr_node_agent::datapath::{AdmittedRange, Verdict};
use std::{collections::BTreeSet, net::Ipv4Addr};

const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn ranges(service: u32, all: &[(Ipv4Addr, u8)]) -> BTreeSet<AdmittedRange<Addr4>> {
    all.iter()
        .map(|&(addr, bits)| AdmittedRange {
            service,
            addr: addr.into(),
            bits,
        })
        .collect()
}

fn verdict(node: &mut Rig, client: Ipv4Addr, port: u16, pod: bool) -> Verdict {
    let packet = Packet::tcp(SYN, (client, port), (VIP, 443)).bytes();
    if pod {
        node.pod_sends(&packet).verdict
    } else {
        node.ingress(&packet).verdict
    }
}

#[test]
fn the_longest_prefix_decides_for_clients_outside_and_for_pods() {
    let mut node = Rig::new();
    let frontend = Frontend {
        addr: VIP,
        port: 443,
        flags: flags::LOAD_BALANCER | flags::SOURCE_RANGES,
        ..Frontend::node_port(TCP)
    };
    // The rig gives a frontend at slot 0 the id 1.
    let wanted = ranges(
        1,
        &[
            (Ipv4Addr::new(192, 168, 49, 0), 24),
            (Ipv4Addr::new(10, 244, 0, 77), 32),
        ],
    );
    node.datapath().v4_mut().admit(&wanted).unwrap();
    node.serve(frontend, 0, &[Backend::Local(LOCAL_POD)]);
    for (client, pod, admitted) in [
        (Ipv4Addr::new(192, 168, 49, 100), false, true),
        (Ipv4Addr::new(192, 168, 50, 100), false, false),
        (Ipv4Addr::new(10, 244, 0, 77), true, true),
        (Ipv4Addr::new(10, 244, 0, 78), true, false),
    ] {
        let expected = if admitted { Verdict::Next } else { Verdict::Drop };
        assert_eq!(verdict(&mut node, client, 40_000, pod), expected, "{client}");
    }
    assert_eq!(node.count(Reason::DropSourceRange), 2);
}

#[test]
fn ranges_change_by_differences_and_none_are_left() {
    let mut node = Rig::new();
    let first = ranges(1, &[(Ipv4Addr::new(10, 0, 0, 0), 8)]);
    let second = ranges(
        1,
        &[(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12)],
    );
    for (wanted, writes) in [
        (&first, 1),
        (&first, 1),
        (&second, 2),
        (&first, 3),
        (&BTreeSet::new(), 4),
    ] {
        let before = node.datapath().v4_mut();
        before.admit(wanted).unwrap();
        before.retain_ranges(wanted).unwrap();
        let all: u64 = node.datapath().report().map_writes - node.setup_writes;
        assert_eq!(all, writes);
    }
}
