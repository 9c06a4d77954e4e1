//! Packets that XDP sends on are explained as it sends them, and those that it leaves to tc are left in the explanation, too.

use super::{ASKED, CLIENT_SIDE, begin_tcp, node};
use crate::rig::{CLIENT, REMOTE_POD, TCP};
use kpr_abi::Reason;
use kpr_node_agent::datapath::{Choice, Explainer, Probe, Verdict};
use std::net::SocketAddr;

#[test]
fn a_packet_of_a_flow_that_xdp_sends_on_is_explained_as_it_is_sent() {
    let mut node = node();
    let source = begin_tcp(&mut node);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let request = Probe {
        protocol: TCP,
        from: CLIENT_SIDE.into(),
        to: ASKED.into(),
        opens: false,
    };
    let answer = Probe {
        from: (REMOTE_POD, 80).into(),
        to: source.into(),
        ..request
    };
    for probe in [request, answer] {
        let told = explainer.xdp(&probe, node.ifindex).unwrap();
        let done = node.xdp(&told.frame);
        assert_eq!(
            (told.trial.verdict, done.verdict),
            (Verdict::Transmit, Verdict::Transmit)
        );
        assert_eq!(told.trial.packet, done.packet);
        assert_eq!(told.story.reasons, [Reason::XdpForwarded]);
        assert_eq!(
            (told.story.choice, told.story.event.out),
            (Some(Choice::Flow), node.ifindex)
        );
    }
    let first = Probe {
        from: SocketAddr::from((CLIENT, 40_001)),
        opens: true,
        ..request
    };
    assert_eq!(
        explainer.xdp(&first, node.ifindex).unwrap().trial.verdict,
        Verdict::Next,
        "tc begins flows"
    );
}
