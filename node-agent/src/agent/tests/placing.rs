//! Which devices are attached to, and when.

use super::{
    fake::Kernel,
    rig::{Rig, datapath, eth0, node, spec},
};
use crate::{
    agent::{GRACE, PodReason},
    devices::Device,
    model::tests::fixtures::{named as name, svc},
    watch::Change,
};

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

fn pod_facing(kernel: &Kernel) -> Vec<String> {
    let state = kernel.state();
    let names = state
        .placements
        .last()
        .into_iter()
        .flat_map(|placed| &placed.pod_facing);
    names.map(|device| device.name.clone()).collect()
}

/// eth0, and the node's end of a pod's device.
fn with_a_pod() -> Vec<Device> {
    let pod = Device {
        kind: "veth".into(),
        addresses: Vec::new(),
        ..named("veth0", 7)
    };
    vec![eth0(), pod]
}

fn sctp() -> Change {
    let service = svc("signal").cluster_ips(&["10.96.0.12"]).protocol("SCTP");
    Change::Service(Box::new(service.parse()))
}

#[test]
fn pods_packets_are_balanced_while_there_are_sctp_services_or_associations() {
    let reasons = |agent: &Rig| agent.snapshot().placement.unwrap().pod_reasons;
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.core.take_devices(with_a_pod());
    agent.tell([]);
    assert_eq!(pod_facing(&kernel), [""; 0]);

    agent.tell([sctp()]);
    assert_eq!(pod_facing(&kernel), ["veth0"], "before it is programmed");
    assert_eq!(reasons(&agent), [PodReason::Sctp].into());

    kernel.state().pods_have_flows = true;
    agent.swept(&kernel);
    agent.tell([Change::ServiceGone(name("signal"))]);
    agent.later(GRACE);
    assert_eq!(pod_facing(&kernel), ["veth0"], "an association outlives its Service");
    assert_eq!(reasons(&agent), [PodReason::OpenFlows].into());

    kernel.state().pods_have_flows = false;
    agent.swept(&kernel);
    assert_eq!(pod_facing(&kernel), [""; 0]);
}

#[test]
fn a_restarted_agent_never_lets_go_of_the_devices_of_pods_that_use_sctp() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.core.take_devices(with_a_pod());
    agent.tell([sctp()]);

    let mut agent = Rig::starts(&kernel);
    let before = kernel.state().placements.len();
    agent.core.take_devices(with_a_pod());
    agent.tell([Change::Node(Some(node())), datapath(1, spec())]);
    let state = kernel.state();
    let placed: Vec<_> = state.placements[before..].iter().map(|p| p.pod_facing.len()).collect();
    assert_eq!(placed, [1], "before the API server has told anything");
}
