//! Which devices are attached to, and when.

use super::{
    fake::Kernel,
    rig::{Rig, datapath, eth0, node, spec},
};
use crate::{devices::Device, watch::Change};

fn named(name: &str, ifindex: u32) -> Device {
    Device {
        name: name.into(),
        ifindex,
        has_default_route: false,
        ..eth0()
    }
}

fn attached(kernel: &Kernel) -> Vec<String> {
    let state = kernel.state();
    let names = state.placements.last().into_iter().flat_map(|p| &p.selection.devices);
    names.map(|device| device.name.clone()).collect()
}

#[test]
fn it_attaches_once_the_node_and_the_devices_are_known() {
    let kernel = Kernel::default();
    let mut agent = Rig::starts(&kernel);
    agent.tell([datapath(1, spec())]);
    agent.core.take_devices(vec![eth0()]);
    agent.tell([]);
    assert!(
        kernel.state().placements.is_empty(),
        "the Node's addresses are not known yet"
    );
    agent.tell([Change::Node(Some(node()))]);
    assert_eq!(attached(&kernel), ["eth0"]);
    agent.tell([Change::Node(Some(node()))]);
    assert_eq!(kernel.state().placements.len(), 1, "nothing changed");
}

#[test]
fn a_device_that_comes_or_goes_is_followed() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    let eth1 = Device {
        has_default_route: true,
        ..named("eth1", 3)
    };
    agent.core.take_devices(vec![eth0(), eth1]);
    agent.tell([]);
    assert_eq!(attached(&kernel), ["eth0", "eth1"]);
    agent.core.take_devices(vec![eth0()]);
    agent.tell([]);
    assert_eq!(attached(&kernel), ["eth0"]);
}

#[test]
fn an_unknown_device_is_named_and_attached_when_it_comes() {
    let kernel = Kernel::default();
    let mut agent = Rig::starts(&kernel);
    agent.core.take_devices(vec![eth0()]);
    let mut spec = spec();
    spec.devices = vec!["ens9".into()];
    agent.tell([Change::Node(Some(node())), datapath(1, spec)]);
    let trouble = agent.snapshot().troubles.no_devices.unwrap();
    assert!(trouble.contains("ens9") && trouble.contains("eth0"), "{trouble}");
    assert!(kernel.state().placements.is_empty());

    agent.core.take_devices(vec![eth0(), named("ens9", 3)]);
    agent.tell([]);
    assert_eq!(attached(&kernel), ["ens9"]);
    assert_eq!(agent.snapshot().troubles.no_devices, None);
}
