//! What is written, and when.

use std::time::Duration;

use kpr_abi::backend::flags;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining},
};
use crate::{
    agent::GRACE,
    model::tests::fixtures::{ep, named, slice, svc},
    observe::api::Phase,
    plan::Op,
    watch::Change,
};

const WEB: &str = "10.96.0.10:80 -> 10.244.0.2:8080";

#[test]
fn nothing_is_removed_before_both_kinds_are_read_in_full() {
    let kernel = Kernel::default();
    drop(Rig::serving(&kernel));
    kernel.take_ops();

    // A new agent on the same node, and an empty cluster.
    let mut agent = Rig::configured(&kernel);
    agent.tell([Change::Services(Vec::new())]);
    agent.later(GRACE * 2);
    assert_eq!(kernel.take_ops(), [], "EndpointSlices are not read yet");
    assert_eq!(agent.snapshot().phase, Phase::Syncing);

    agent.tell([Change::Slices(Vec::new()), Change::Synced]);
    assert_eq!(kernel.shows(), [""; 0]);
    assert_eq!(agent.snapshot().phase, Phase::Active);
}

#[test]
fn a_restarted_agent_writes_nothing_if_nothing_changed() {
    let kernel = Kernel::default();
    drop(Rig::serving(&kernel));
    assert!(!kernel.take_ops().is_empty());

    let agent = Rig::serving(&kernel);
    assert_eq!(kernel.take_ops(), []);
    assert_eq!(kernel.shows(), [WEB]);
    assert_eq!(agent.snapshot().phase, Phase::Active);
    assert_eq!(agent.snapshot().report.map_writes, 0);
}

#[test]
fn a_restarted_agent_waits_for_readers_of_what_the_last_one_wrote() {
    let kernel = Kernel::default();
    drop(Rig::serving(&kernel));
    kernel.take_ops();

    let mut agent = Rig::configured(&kernel);
    let due = agent.tell([
        Change::Services(vec![svc("web").parse()]),
        Change::Slices(vec![slice("web-1", "web").with([ep("10.244.0.9")]).parse()]),
        Change::Synced,
    ]);
    assert_eq!(kernel.take_ops(), []);
    assert!(due.unwrap() <= agent.now + GRACE, "it comes back by itself");
    agent.later(GRACE);
    assert_eq!(kernel.shows(), ["10.96.0.10:80 -> 10.244.0.9:8080"]);
}

#[test]
fn a_new_list_removes_what_vanished_while_nobody_watched() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell([Change::Service(Box::new(
        svc("api").cluster_ips(&["10.96.0.11"]).parse(),
    ))]);
    assert_eq!(kernel.shows(), [WEB, "10.96.0.11:80 -> "]);
    agent.tell([Change::Services(vec![svc("api").cluster_ips(&["10.96.0.11"]).parse()])]);
    assert_eq!(kernel.shows(), ["10.96.0.11:80 -> "]);
}

#[test]
fn only_the_services_that_changed_are_written() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.take_ops();
    agent.tell([Change::Service(Box::new(
        svc("api").cluster_ips(&["10.96.0.11"]).parse(),
    ))]);
    assert!(
        matches!(kernel.take_ops()[..], [Op::PutService { .. }]),
        "one frontend without backends"
    );
    agent.tell([Change::ServiceGone(named("api"))]);
    assert!(matches!(kernel.take_ops()[..], [Op::DeleteService { .. }]));
}

#[test]
fn a_refused_write_is_reported_and_tried_again_with_longer_and_longer_pauses() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.take_ops();
    kernel.state().failing_ops = 2;
    let moved = slice("web-1", "web").with([ep("10.244.0.9")]).parse();

    let due = agent.tell([Change::Slice(Box::new(moved))]);
    let snapshot = agent.snapshot();
    assert!(snapshot.troubles.write.is_some());
    assert!(snapshot.behind_since.is_some());
    assert_eq!((snapshot.services.pending, snapshot.write_failures), (1, 1));
    assert_eq!(due, Some(agent.now + Duration::from_millis(100)));
    assert_eq!(kernel.shows(), [WEB], "the service stays on its old backends");

    agent.later(Duration::from_millis(99));
    assert_eq!(kernel.state().failing_ops, 1, "not before the pause is over");
    let due = agent.later(Duration::from_millis(1));
    assert_eq!(due, Some(agent.now + Duration::from_millis(200)));

    agent.later(Duration::from_millis(200));
    assert_eq!(kernel.shows(), ["10.96.0.10:80 -> 10.244.0.9:8080"]);
    let snapshot = agent.snapshot();
    assert_eq!((snapshot.troubles.write, snapshot.behind_since), (None, None));
    assert_eq!(snapshot.write_failures, 2);
}

#[test]
fn what_was_freed_is_used_again_only_after_the_grace_period() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.take_ops();
    let moved = slice("web-1", "web").with([ep("10.244.0.9")]).parse();
    let due = agent.tell([Change::Slice(Box::new(moved))]);
    let cleared = |ops: &[Op<_>]| ops.iter().any(|op| matches!(op, Op::ClearBackend { .. }));
    let ops = kernel.take_ops();
    assert!(!cleared(&ops), "a program may still be reading it");
    let is_gone = |op: &Op<_>| matches!(op, Op::PutBackend { value, .. } if value.flags & flags::GONE != 0);
    assert!(
        ops.last().is_some_and(is_gone),
        "datagrams need not wait for that: {ops:?}"
    );
    assert_eq!(due, Some(agent.now + GRACE));
    agent.later(GRACE);
    assert!(cleared(&kernel.take_ops()));
    assert_eq!(agent.snapshot().services.backends, 1);
}

#[test]
fn services_that_do_not_fit_are_counted_and_named_and_fit_once_others_went() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    // The fake kernel has room for 15 backends.
    let many = (0..15).map(|n| ep(&format!("10.244.1.{n}")));
    agent.tell([
        Change::Service(Box::new(svc("big").cluster_ips(&["10.96.0.11"]).parse())),
        Change::Slice(Box::new(slice("big-1", "big").with(many).parse())),
    ]);
    let snapshot = agent.snapshot();
    let message = snapshot.troubles.full.unwrap();
    assert!(message.contains("default/big"), "{message}");
    assert_eq!(snapshot.services.pending, 1);
    assert_eq!(kernel.shows()[0], WEB, "the others are served");

    agent.tell([Change::ServiceGone(named("web")), Change::SliceGone(named("web-1"))]);
    agent.later(GRACE);
    agent.later(GRACE);
    assert_eq!(agent.snapshot().troubles.full, None);
    assert_eq!(agent.snapshot().services.pending, 0);
    assert_eq!(kernel.shows().len(), 1);
}

/// How often an agent that is told nothing more wakes up in a minute.
fn wakes(agent: &mut Rig) -> usize {
    let mut wakes = 0;
    let end = agent.now + Duration::from_mins(1);
    while let Some(due) = agent.core.work(agent.now).filter(|due| *due < end) {
        assert!(due > agent.now, "never at once");
        agent.now = due;
        wakes += 1;
    }
    wakes
}

#[test]
fn an_idle_agent_wakes_up_rarely() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let wakes = wakes(&mut agent);
    assert!(wakes <= 20, "{wakes} wakes in a minute");
}

#[test]
fn what_failed_and_is_no_longer_wanted_wakes_nobody() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.state().failing_removal = true;
    agent.tell([datapath(2, draining())]);
    agent.later(Duration::from_mins(1));
    agent.tell([Change::Datapath(None)]);
    assert!(wakes(&mut agent) <= 1);
}

#[test]
fn problems_of_services_are_counted_and_told() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell([Change::Service(Box::new(
        svc("bad").cluster_ips(&["10.96.0.12"]).external_ips(&["here"]).parse(),
    ))]);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.services.problems, 1);
    assert!(
        snapshot.problems[0].starts_with("default/bad: "),
        "{:?}",
        snapshot.problems
    );
    agent.tell([Change::ServiceGone(named("bad"))]);
    assert_eq!(agent.snapshot().services.problems, 0);
}
