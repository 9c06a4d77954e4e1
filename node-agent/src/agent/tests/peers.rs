//! The agents of all nodes, as their Service names them.

use super::{fake::Kernel, rig::Rig};
use crate::{
    model::{
        NamespacedName,
        tests::fixtures::{ep, slice},
    },
    watch::Change,
};

#[test]
fn agents_are_the_endpoints_of_their_service_one_for_each_node() {
    let kernel = Kernel::default();
    let mut rig = Rig::serving(&kernel);
    rig.core = rig.core.with_agents(Some(NamespacedName::new("default", "kpr-agent")));
    let agents = |endpoints: &[(&str, &str)]| {
        let endpoints = endpoints.iter().map(|(address, node)| ep(address).on(node));
        let slice = slice("kpr-agent-1", "kpr-agent")
            .no_ports()
            .port("healthz", 10256)
            .with(endpoints);
        Change::Slice(Box::new(slice.parse()))
    };
    let seen = |rig: &Rig| {
        let peers = rig.snapshot().peers;
        peers
            .iter()
            .map(|peer| format!("{} {}", peer.node, peer.address))
            .collect::<Vec<_>>()
    };
    assert!(seen(&rig).is_empty());

    rig.tell([agents(&[
        ("192.168.49.3", "node-b"),
        ("192.168.49.2", "node-a"),
        ("192.168.49.9", "node-b"),
    ])]);
    assert_eq!(seen(&rig), ["node-a 192.168.49.2:10256", "node-b 192.168.49.3:10256"]);

    rig.tell([agents(&[("192.168.49.2", "node-a")])]);
    assert_eq!(seen(&rig), ["node-a 192.168.49.2:10256"]);
}
