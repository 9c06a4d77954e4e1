//! Both address families: each in its own tables, neither in the way of the other.

use std::net::IpAddr;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining, eth0, node, spec},
};
use crate::{
    agent::{GRACE, NodeAddresses},
    devices::Device,
    model::tests::fixtures::{Svc, ep, named, slice, svc},
    observe::api::Phase,
    plan::Op,
    watch::{Change, NodeInput},
};

const WEB4: &str = "10.96.0.10:80 -> 10.244.0.2:8080";
const WEB6: &str = "[fd00:10:96::a]:80 -> [fd00:244::2]:8080";

/// The service `web` with a cluster IP of each family, and a slice with one endpoint of each.
fn web() -> [Change; 3] {
    let slices = [
        slice("web-4", "web").with([ep("10.244.0.2")]),
        slice("web-6", "web").address_type("IPv6").with([ep("fd00:244::2")]),
    ];
    [
        Change::Services(vec![svc("web").cluster_ips(&["10.96.0.10", "fd00:10:96::a"]).parse()]),
        Change::Slices(slices.iter().map(crate::model::tests::fixtures::Slice::parse).collect()),
        Change::Synced,
    ]
}

fn serving(kernel: &Kernel) -> Rig {
    let mut agent = Rig::configured(kernel);
    agent.tell(web());
    agent.later(GRACE);
    agent
}

fn moved6(addr: &str) -> Change {
    let slice = slice("web-6", "web").address_type("IPv6").with([ep(addr)]);
    Change::Slice(Box::new(slice.parse()))
}

#[test]
fn a_dual_stack_service_is_in_the_tables_of_both_families_which_never_mix() {
    let kernel = Kernel::default();
    let agent = serving(&kernel);
    assert_eq!(kernel.shows(), [WEB4, WEB6]);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.phase, Phase::Active);
    let services = snapshot.services;
    assert_eq!((services.services, services.frontends, services.backends), (1, 2, 2));
}

#[test]
fn a_change_in_one_family_writes_nothing_in_the_other() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    kernel.take_ops();
    kernel.take_ops6();
    agent.tell([moved6("fd00:244::9")]);
    agent.later(GRACE);
    assert_eq!(kernel.take_ops(), []);
    assert!(!kernel.take_ops6().is_empty());
    assert_eq!(kernel.shows(), [WEB4, "[fd00:10:96::a]:80 -> [fd00:244::9]:8080"]);
}

#[test]
fn a_service_of_one_family_is_in_its_tables_only() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    let pods4 = slice("six-4", "six").with([ep("10.244.0.2")]);
    let pods6 = slice("six-6", "six").address_type("IPv6").with([ep("fd00:244::2")]);
    agent.tell([
        Change::Services(vec![
            svc("six").cluster_ips(&["fd00:10:96::a"]).node_port(30080).parse(),
        ]),
        Change::Slices(vec![pods4.parse(), pods6.parse()]),
        Change::Synced,
    ]);
    assert_eq!(kernel.take_ops(), [], "no IPv4 cluster IP, no IPv4 NodePort either");
    assert_eq!(kernel.shows(), ["[::]:30080 -> [fd00:244::2]:8080", WEB6]);
}

#[test]
fn a_service_that_loses_a_family_leaves_its_tables() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([Change::Service(Box::new(svc("web").parse()))]);
    assert_eq!(kernel.shows(), [WEB4]);
    assert!(matches!(
        kernel.take_ops6()[..],
        [.., Op::DeleteService { .. }, Op::PutBackend { .. }]
    ));
}

#[test]
fn a_restarted_agent_writes_nothing_in_either_family_if_nothing_changed() {
    let kernel = Kernel::default();
    drop(serving(&kernel));
    kernel.take_ops();
    kernel.take_ops6();
    let agent = serving(&kernel);
    assert_eq!((kernel.take_ops(), kernel.take_ops6()), (Vec::new(), Vec::new()));
    assert_eq!(agent.snapshot().report.map_writes, 0);
    assert_eq!(agent.snapshot().phase, Phase::Active);
}

#[test]
fn new_programs_keep_the_tables_of_both_families() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    kernel.take_ops();
    kernel.take_ops6();
    let mut wider = spec();
    wider.node_port.range = "30000-40000".into();
    agent.tell([datapath(2, wider)]);
    agent.later(GRACE);
    assert_eq!((kernel.take_ops(), kernel.take_ops6()), (Vec::new(), Vec::new()));
    assert_eq!(kernel.shows(), [WEB4, WEB6]);
}

#[test]
fn draining_takes_both_families_and_active_brings_them_back() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([datapath(2, draining())]);
    assert_eq!(kernel.shows(), [""; 0]);
    agent.tell([datapath(3, spec())]);
    agent.later(GRACE);
    assert_eq!(kernel.shows(), [WEB4, WEB6]);
}

#[test]
fn a_family_whose_writes_fail_does_not_hold_up_the_other() {
    let kernel = Kernel::default();
    kernel.state().failing_families = vec!["IPv4"];
    let mut agent = serving(&kernel);
    assert_eq!(kernel.shows(), [WEB6]);
    let snapshot = agent.snapshot();
    assert!(snapshot.troubles.write.is_some());
    assert_eq!(snapshot.phase, Phase::Syncing, "not everything is programmed yet");
    let program = |agent: &Rig| {
        let tasks = agent.tasks.list();
        tasks.into_iter().find(|task| task.name == "sync-lb-maps").unwrap()
    };
    assert!(!program(&agent).healthy());

    agent.tell([moved6("fd00:244::9")]);
    assert_eq!(kernel.shows(), ["[fd00:10:96::a]:80 -> [fd00:244::9]:8080"]);
    assert!(
        !program(&agent).healthy(),
        "success of one family is not health of both"
    );

    kernel.state().failing_families.clear();
    agent.later(GRACE);
    assert_eq!(kernel.shows()[0], WEB4);
    assert_eq!(agent.snapshot().troubles.write, None);
    assert!(program(&agent).healthy());
}

#[test]
fn a_service_that_waits_in_both_families_is_one_service_that_waits() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    kernel.state().failing_families = vec!["IPv4", "IPv6"];
    let moved4 = slice("web-4", "web").with([ep("10.244.0.9")]).parse();
    agent.tell([Change::Slice(Box::new(moved4)), moved6("fd00:244::9")]);
    let snapshot = agent.snapshot();
    assert_eq!((snapshot.services.pending, snapshot.write_failures), (1, 2));
}

#[test]
fn a_service_that_does_not_fit_in_one_family_is_named_with_it_and_served_in_the_other() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    // The fake kernel has room for 15 backends of each family.
    let many = (0..16).map(|n| ep(&format!("fd00:244:1::{n:x}")));
    agent.tell([Change::Slice(Box::new(
        slice("web-6b", "web").address_type("IPv6").with(many).parse(),
    ))]);
    let snapshot = agent.snapshot();
    let message = snapshot.troubles.full.unwrap();
    assert!(message.starts_with("IPv6: default/web needs"), "{message}");
    assert_eq!(snapshot.services.pending, 1);
    assert_eq!(kernel.shows(), [WEB4, WEB6], "as before");
}

/// A Service of both families, one of whose addresses is none.
fn bad() -> Svc {
    svc("bad")
        .cluster_ips(&["10.96.0.12", "fd00:10:96::c"])
        .external_ips(&["here"])
}

#[test]
fn what_is_wrong_in_both_families_is_told_once() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([Change::Service(Box::new(bad().parse()))]);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.services.problems, 1);
    assert_eq!(snapshot.problems.len(), 1, "{:?}", snapshot.problems);
    agent.tell([Change::ServiceGone(named("bad"))]);
    assert_eq!(agent.snapshot().services.problems, 0);
}

#[test]
fn a_service_that_vanished_while_nobody_watched_leaves_no_problem_behind() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([Change::Service(Box::new(bad().parse()))]);
    assert_eq!(agent.snapshot().services.problems, 1, "{:?}", agent.snapshot().problems);
    let mut zoned = node();
    zoned.zone = Some("a".into());
    // Every Service is compared: facts about the node changed.
    agent.tell([Change::ServiceGone(named("bad")), Change::Node(Some(zoned))]);
    assert_eq!(agent.snapshot().services.problems, 0);
}

#[test]
fn an_ipv6_only_node_has_no_ipv4_addresses_and_nothing_is_wrong_with_that() {
    let kernel = Kernel::default();
    let mut agent = Rig::starts(&kernel);
    let addr: IpAddr = "fd00:49::2".parse().unwrap();
    agent.core.take_devices(vec![Device {
        addresses: vec![addr],
        ..eth0()
    }]);
    let node = NodeInput {
        internal_ips: vec![addr],
        ..node()
    };
    agent.tell([Change::Node(Some(node)), datapath(1, spec())]);
    agent.tell(web());
    agent.later(GRACE);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.troubles.first(), None);
    assert_eq!(snapshot.phase, Phase::Active);
    let placed = snapshot.placement.unwrap();
    assert_eq!(placed.v4, NodeAddresses::default());
    assert_eq!(placed.v6.snat_default, "fd00:49::2".parse().ok());
    assert_eq!(kernel.shows(), [WEB4, WEB6], "pods may have both families even so");
}
