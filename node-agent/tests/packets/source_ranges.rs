//! `loadBalancerSourceRanges`: who is inside connects, who is outside is dropped.

use crate::{
    packet::{Packet, SYN},
    rig::{Backend, Frontend, LOCAL_POD, Rig, TCP},
};
use kpr_abi::{Addr4, Reason, service::flags};
use kpr_node_agent::{
    datapath::Verdict,
    plan::{AdmittedRange, Op},
};
use std::{collections::BTreeSet, net::Ipv4Addr};

const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn range(addr: Ipv4Addr, bits: u8) -> AdmittedRange<Addr4> {
    AdmittedRange {
        // The rig gives a frontend at slot 0 the id 1.
        service: 1,
        addr: addr.into(),
        bits,
    }
}

fn admit(node: &mut Rig, range: AdmittedRange<Addr4>) {
    node.datapath().v4_mut().apply(&Op::PutRange { range }).unwrap();
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
    admit(&mut node, range(Ipv4Addr::new(192, 168, 49, 0), 24));
    admit(&mut node, range(Ipv4Addr::new(10, 244, 0, 77), 32));
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
fn what_is_written_is_read_back_counted_and_deleted() {
    let mut node = Rig::new();
    let both = [
        range(Ipv4Addr::new(10, 0, 0, 0), 8),
        range(Ipv4Addr::new(172, 16, 0, 0), 12),
    ];
    for range in both {
        admit(&mut node, range);
    }
    let read = |node: &mut Rig| -> BTreeSet<_> {
        let contents = node.datapath().v4_mut().restore().unwrap();
        contents.source_ranges.into_iter().collect()
    };
    assert_eq!(read(&mut node), BTreeSet::from(both));
    let used = |node: &mut Rig| {
        let maps = node.datapath().report().maps;
        maps.iter()
            .find(|map| map.name == "IPv4 source ranges")
            .unwrap()
            .entries
    };
    assert_eq!(used(&mut node), Some(2));
    // Twice: what is not there any more is no error.
    for _ in 0..2 {
        let range = both[0];
        node.datapath().v4_mut().apply(&Op::DeleteRange { range }).unwrap();
        assert_eq!(read(&mut node), BTreeSet::from([both[1]]));
    }
    assert_eq!(node.datapath().report().map_writes - node.setup_writes, 4);
}
