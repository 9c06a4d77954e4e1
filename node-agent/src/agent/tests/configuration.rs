//! What the NodeDatapath asks for, and what is done.

use std::time::Duration;

use kpr_crds::{Acceleration, Algorithm, KubeProxyRules};

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining, spec},
};
use crate::{agent::GRACE, datapath::Acceleration as Placed, observe::api::Phase, watch::Change};

#[test]
fn without_a_node_datapath_nothing_is_loaded() {
    let kernel = Kernel::default();
    let mut agent = Rig::starts(&kernel);
    agent.tell([
        Change::Datapath(None),
        Change::Services(Vec::new()),
        Change::Slices(Vec::new()),
        Change::Synced,
    ]);
    assert_eq!(agent.snapshot().phase, Phase::Waiting);
    assert!(kernel.state().starts.is_empty());
}

#[test]
fn a_node_datapath_that_vanishes_leaves_its_configuration_in_force() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell([Change::Datapath(None)]);
    assert_eq!(agent.snapshot().phase, Phase::Active);
    assert!(agent.snapshot().troubles.orphaned.is_some());
    assert_eq!(kernel.shows().len(), 1);
    assert_eq!(kernel.state().removals, 0);
    agent.tell([datapath(1, spec())]);
    assert_eq!(agent.snapshot().troubles.orphaned, None);
}

#[test]
fn a_node_datapath_that_is_made_anew_is_carried_out_though_its_generation_is_the_same() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut other = spec();
    other.node_port.range = "30000-40000".into();
    agent.tell([Change::Datapath(None)]);
    agent.tell([datapath(1, other)]);
    assert_eq!(kernel.state().starts.len(), 2);
    assert_eq!(agent.snapshot().applied.unwrap().spec.node_port.range, "30000-40000");
}

#[test]
fn draining_removes_everything_once_and_active_brings_it_back() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell([datapath(2, draining())]);
    agent.tell([datapath(2, draining())]);
    let snapshot = agent.snapshot();
    assert_eq!((snapshot.phase, kernel.state().removals), (Phase::Removed, 1));
    assert_eq!(snapshot.applied.unwrap().generation, 2);
    assert_eq!(snapshot.placement, None);

    agent.tell([Change::Datapath(None)]);
    assert_eq!(agent.snapshot().phase, Phase::Removed);

    agent.tell([datapath(1, spec())]);
    assert_eq!(agent.snapshot().phase, Phase::Active);
    assert_eq!(
        kernel.shows().len(),
        1,
        "what was known of the cluster is programmed anew"
    );
    assert_eq!(kernel.state().placements.len(), 2, "and attached anew");
}

#[test]
fn flows_are_left_to_netfilter_before_the_first_frontend_and_handed_over_before_the_end() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    assert_eq!(kernel.state().left, [0], "once, and with nothing programmed");
    assert_eq!(kernel.state().hand_overs, 0);

    let mut other = spec();
    other.services.node_port = !other.services.node_port;
    agent.tell([datapath(2, other)]);
    assert_eq!(kernel.state().left, [0, 1], "again, since another kind is taken over");

    agent.tell([datapath(3, draining())]);
    let state = kernel.state();
    assert_eq!((state.hand_overs, state.removals), (1, 1));
}

#[test]
fn what_kube_proxy_left_goes_only_when_the_node_is_told_and_serves() {
    let kernel = Kernel::default();
    kernel.state().leftovers.removed = vec!["9 chains".to_owned()];
    let mut agent = Rig::serving(&kernel);
    assert!(kernel.state().cleared.is_empty(), "nobody has asked for it");

    let mut clears = spec();
    clears.kube_proxy_rules = KubeProxyRules::Remove;
    agent.tell([datapath(2, clears.clone())]);
    assert_eq!(kernel.state().cleared, [1], "at once, with the Service programmed");
    let cleared = agent.snapshot().cleared.expect("it is told");
    assert_eq!(cleared.removed, ["9 chains"]);

    kernel.state().leftovers.failed = vec!["device kube-ipvs0".to_owned()];
    clears.services.node_port = !clears.services.node_port;
    agent.tell([datapath(3, clears)]);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.troubles.leftovers.as_deref(), Some("device kube-ipvs0"));

    agent.tell([datapath(4, spec())]);
    let snapshot = agent.snapshot();
    assert_eq!(
        (snapshot.troubles.leftovers, snapshot.cleared),
        (None, None),
        "they are to stay"
    );
    assert_eq!(kernel.state().cleared.len(), 2);
}

#[test]
fn what_kube_proxy_left_serves_until_everything_is_read() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    let mut clears = spec();
    clears.kube_proxy_rules = KubeProxyRules::Remove;
    agent.tell([datapath(2, clears)]);
    assert!(kernel.state().cleared.is_empty());
}

#[test]
fn draining_removes_what_an_earlier_agent_left() {
    let kernel = Kernel::default();
    drop(Rig::serving(&kernel));
    let mut agent = Rig::starts(&kernel);
    agent.tell([datapath(2, draining())]);
    assert_eq!(kernel.state().removals, 1);
    assert_eq!(agent.snapshot().phase, Phase::Removed);
}

#[test]
fn a_removal_that_fails_is_reported_and_tried_again() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.state().failing_removal = true;
    let due = agent.tell([datapath(2, draining())]);
    assert_eq!(agent.snapshot().phase, Phase::Draining);
    assert!(agent.snapshot().troubles.removal.is_some());
    assert_eq!(due, Some(agent.now + Duration::from_secs(1)));
    kernel.state().failing_removal = false;
    agent.later(Duration::from_secs(1));
    assert_eq!(agent.snapshot().phase, Phase::Removed);
    assert_eq!(agent.snapshot().troubles.removal, None);
}

#[test]
fn settings_of_the_programs_load_new_programs_and_keep_the_tables() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.take_ops();
    let mut wider = spec();
    wider.node_port.range = "30000-40000".into();
    agent.tell([datapath(2, wider)]);
    agent.later(GRACE);
    assert_eq!(kernel.state().starts.len(), 2);
    assert_eq!(
        kernel.state().reads,
        4,
        "both families: the new datapath learns what is in the tables"
    );
    assert_eq!(kernel.state().placements.len(), 2, "new programs are attached");
    assert_eq!(kernel.take_ops(), []);
    assert_eq!(agent.snapshot().applied.unwrap().generation, 2);
    assert_eq!(agent.snapshot().phase, Phase::Active);
}

#[test]
fn other_fields_need_no_new_programs() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut newer = spec();
    newer.policy_generation = 7;
    agent.tell([datapath(2, newer)]);
    assert_eq!(kernel.state().starts.len(), 1);
    assert_eq!(agent.snapshot().applied.unwrap().spec.policy_generation, 7);
}

#[test]
fn another_algorithm_needs_no_new_programs() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut maglev = spec();
    maglev.load_balancer.algorithm = Algorithm::Maglev;
    agent.tell([datapath(2, maglev)]);
    assert_eq!(kernel.state().starts.len(), 1);
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.applied.unwrap().generation, 2);
    assert_eq!(snapshot.phase, Phase::Active);
}

#[test]
fn acceleration_is_switched_without_loading_programs_anew() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut native = spec();
    native.load_balancer.acceleration = Acceleration::Native;
    agent.tell([datapath(2, native)]);
    agent.tell([datapath(3, spec())]);
    let state = kernel.state();
    let placed: Vec<_> = state.placements.iter().map(|placed| placed.acceleration).collect();
    let (on, off) = (Placed::Native, Placed::Disabled);
    assert_eq!((placed, state.starts.len()), (vec![off, on, off], 1));
}

#[test]
fn kinds_that_are_no_longer_served_are_taken_out() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut partial = spec();
    partial.services.cluster_ip = false;
    agent.tell([datapath(2, partial)]);
    assert_eq!(kernel.shows(), [""; 0]);
    assert_eq!(kernel.state().starts.len(), 1);
}

#[test]
fn a_configuration_that_cannot_be_served_is_refused_and_the_last_one_stays() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut reversed = spec();
    reversed.node_port.range = "32767-30000".into();
    agent.tell([datapath(2, reversed)]);
    let snapshot = agent.snapshot();
    assert!(snapshot.troubles.rejected.unwrap().contains("spec.nodePort.range"));
    assert_eq!(
        (snapshot.phase, snapshot.applied.unwrap().generation),
        (Phase::Active, 1)
    );

    agent.tell([datapath(3, spec())]);
    assert_eq!(agent.snapshot().troubles.rejected, None);
    assert_eq!(agent.snapshot().applied.unwrap().generation, 3);
}

#[test]
fn a_datapath_that_cannot_be_loaded_is_tried_again_and_a_new_generation_at_once() {
    let kernel = Kernel::default();
    kernel.state().failing_starts = 2;
    let mut agent = Rig::configured(&kernel);
    assert_eq!(agent.snapshot().phase, Phase::Failed);
    assert!(agent.snapshot().troubles.load.unwrap().machine);
    assert!(!agent.tasks.list().iter().all(crate::observe::TaskStatus::healthy));

    agent.later(Duration::from_millis(900));
    assert_eq!(kernel.state().failing_starts, 1, "not before the pause is over");
    agent.tell([datapath(2, spec())]);
    assert_eq!(kernel.state().failing_starts, 0);
    agent.later(Duration::from_secs(1));
    assert_eq!(agent.snapshot().troubles.load, None);
    assert_eq!(agent.snapshot().phase, Phase::Syncing);
}
