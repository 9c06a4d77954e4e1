mod simulation;

use kpr_crds::{KubeProxyReplacement, NodeDatapath, NodeDatapathSpec, OnFailure, RolloutFailure, RolloutStatus};
use kube::ResourceExt;

use super::*;
use crate::decide::fixtures::{Datapath, Policy, at, datapath, policy};
use crate::render;

/// Configurations of generations: each differs from the others.
fn generation(number: i64) -> Policy {
    policy("default")
        .generation(number)
        .max_sessions(u32::try_from(number).expect("small"))
}

fn spec(number: i64) -> NodeDatapathSpec {
    render::active(&generation(number).build())
}

/// A node that serves with this generation, the first that it got.
fn serves(name: &str, number: i64) -> Datapath {
    datapath(name, &generation(number).build())
        .memory(&Memory::first(at(0)))
        .ready(number)
}

/// A node that was changed at second 0 from generation 1, with which it served.
fn told(name: &str, number: i64) -> Datapath {
    let from = serves(name, 1).build();
    let deadline = jiff::SignedDuration::from_secs(600);
    let memory = Memory::of_change(&from, &spec(number), None, deadline, at(0));
    serves(name, 1).spec(spec(number)).generation(2).memory(&memory)
}

struct Pool {
    policy: KubeProxyReplacement,
    nodes: Vec<(String, bool, Option<NodeDatapath>)>,
}

fn pool(policy: Policy) -> Pool {
    Pool {
        policy: policy.build(),
        nodes: Vec::new(),
    }
}

impl Pool {
    fn with(mut self, datapath: Datapath) -> Self {
        let datapath = datapath.build();
        self.nodes.push((datapath.name_any(), true, Some(datapath)));
        self
    }

    fn joining(mut self, name: &str) -> Self {
        self.nodes.push((name.to_owned(), true, None));
        self
    }

    /// The node that was added last is down.
    fn down(mut self) -> Self {
        self.nodes.last_mut().expect("a node").1 = false;
        self
    }

    fn plan_at(&self, second: i64) -> Plan<'_> {
        let members: Vec<_> = self
            .nodes
            .iter()
            .map(|(name, up, datapath)| Member {
                name,
                up: *up,
                datapath: datapath.as_ref(),
            })
            .collect();
        let context = Context {
            newest: &render::active(&self.policy),
            strategy: &self.policy.spec.update_strategy,
            before: self.policy.status.as_ref().and_then(|status| status.rollout.as_ref()),
            now: at(second),
        };
        plan(&members, &context)
    }

    fn plan(&self) -> Plan<'_> {
        self.plan_at(0)
    }
}

fn changed<'p>(plan: &Plan<'p>) -> Vec<(&'p str, i64)> {
    plan.changes
        .iter()
        .map(|change| (change.node, change.spec.policy_generation))
        .collect()
}

fn failed(generation: i64) -> RolloutStatus {
    RolloutStatus {
        completed_generation: Some(1),
        failure: Some(RolloutFailure {
            generation,
            node: "a".to_owned(),
            reason: "AttachFailed".to_owned(),
            message: "eth7: no such device".to_owned(),
            rolled_back: false,
        }),
    }
}

const NONE: [(&str, i64); 0] = [];

#[test]
fn nodes_that_join_do_not_wait() {
    let pool = pool(generation(1)).joining("a").joining("b");
    assert_eq!(changed(&pool.plan()), [("a", 1), ("b", 1)]);
}

#[test]
fn nodes_that_join_do_not_hold_up_a_rollout() {
    let new = datapath("b", &generation(2).build()).memory(&Memory::first(at(0)));
    let pool = pool(generation(2)).with(serves("a", 1)).with(new);
    assert_eq!(changed(&pool.plan()), [("a", 2)]);
}

#[test]
fn the_next_node_changes_when_the_last_one_serves() {
    let waits = pool(generation(2)).with(told("a", 2)).with(serves("b", 1));
    assert_eq!(changed(&waits.plan()), NONE);
    let goes_on = pool(generation(2)).with(told("a", 2).ready(2)).with(serves("b", 1));
    assert_eq!(changed(&goes_on.plan()), [("b", 2)]);
}

#[test]
fn as_many_nodes_change_at_a_time_as_may_be_unavailable() {
    let names = ["a", "b", "c", "d", "e"];
    let pool = names.iter().fold(pool(generation(2).max_unavailable(3)), |pool, name| {
        pool.with(serves(name, 1))
    });
    assert_eq!(changed(&pool.plan()), [("a", 2), ("b", 2), ("c", 2)]);
}

#[test]
fn a_generation_without_a_new_configuration_goes_to_all_at_once() {
    let same = |number| policy("default").generation(number);
    let node = |name| datapath(name, &same(1).build()).ready(1);
    let pool = pool(same(2)).with(node("a")).with(node("b"));
    assert_eq!(changed(&pool.plan()), [("a", 2), ("b", 2)]);
}

#[test]
fn an_agent_that_restarts_counts_as_unavailable() {
    let restarting = serves("a", 2).failing("Starting", "the agent has not read all Services yet");
    let pool = pool(generation(2)).with(restarting).with(serves("b", 1));
    assert_eq!(changed(&pool.plan()), NONE);
}

#[test]
fn a_node_that_does_not_serve_changes_first_but_counts() {
    let pool = pool(generation(2))
        .with(serves("a", 1))
        .with(serves("b", 1).failing("AttachFailed", "eth7: no such device"));
    assert_eq!(changed(&pool.plan()), [("b", 2)]);
}

#[test]
fn a_node_that_is_down_is_not_told_and_not_waited_for() {
    let pool = pool(generation(2))
        .with(serves("a", 1))
        .down()
        .with(told("b", 2).ready(2));
    let plan = pool.plan();
    assert_eq!(changed(&plan), NONE);
    assert_eq!(plan.record.completed_generation, Some(2));
    assert_eq!(plan.progress.phase, Phase::RolledOut);
}

#[test]
fn a_node_that_went_down_with_the_change_is_waited_for_and_then_stops_it() {
    let pool = pool(generation(2)).with(told("a", 2)).down().with(serves("b", 1));
    let waits = pool.plan_at(599);
    assert_eq!(changed(&waits), NONE);
    assert_eq!(waits.progress.phase, Phase::RollingOut);
    assert_eq!(waits.again_in, Some(std::time::Duration::from_secs(1)));
    let stops = pool.plan_at(600);
    assert_eq!(stops.progress.phase, Phase::Halted);
    let failure = stops.record.failure.expect("a failure");
    assert_eq!(
        (failure.node.as_str(), failure.reason.as_str(), failure.message.as_str()),
        (
            "a",
            "ProgressDeadlineExceeded",
            "not ready within 600 s: the Node itself is not ready"
        )
    );
}

#[test]
fn a_node_that_fails_with_the_change_stops_it_at_once() {
    let failing = told("a", 2)
        .failing("AttachFailed", "eth7: no such device")
        .conditions_seen(2);
    let pool = pool(generation(2).on_failure(OnFailure::Rollback))
        .with(failing)
        .with(serves("b", 1));
    let plan = pool.plan();
    assert_eq!(changed(&plan), NONE, "it is written down first");
    let failure = plan.record.failure.expect("a failure");
    assert_eq!(
        (failure.generation, failure.node.as_str(), failure.reason.as_str()),
        (2, "a", "AttachFailed")
    );
    assert_eq!(plan.progress.phase, Phase::RollingBack);
}

#[test]
fn a_failure_from_before_the_change_does_not_stop_it() {
    let stale = told("a", 2).failing("AttachFailed", "").conditions_seen(1);
    let plan = pool(generation(2)).with(stale).with(serves("b", 1));
    assert_eq!(
        plan.plan().record.failure,
        None,
        "the agent has not seen the change yet"
    );

    let not_well = serves("a", 1).failing("AttachFailed", "").build();
    let deadline = jiff::SignedDuration::from_secs(600);
    let memory = Memory::of_change(&not_well, &spec(2), None, deadline, at(0));
    let still = told("a", 2)
        .memory(&memory)
        .failing("AttachFailed", "eth7: no such device")
        .conditions_seen(2);
    let pool = pool(generation(2)).with(still).with(serves("b", 1));
    let plan = pool.plan();
    assert_eq!(plan.record.failure, None, "it was not well before either");
    assert_eq!(plan.progress.phase, Phase::Stalled);
    let waiting = plan.progress.waiting.expect("it names the node");
    assert_eq!(
        (waiting.node, waiting.why.as_str()),
        ("a", "AttachFailed: eth7: no such device")
    );
}

#[test]
fn a_halted_rollout_changes_nothing_even_if_the_node_recovers() {
    let pool = pool(generation(2).rollout(failed(2)))
        .with(told("a", 2).ready(2))
        .with(serves("b", 1));
    let plan = pool.plan();
    assert_eq!(changed(&plan), NONE);
    assert_eq!(plan.progress.phase, Phase::Halted);
    assert_eq!(plan.record, failed(2));
}

#[test]
fn the_next_generation_starts_anew() {
    let pool = pool(generation(3).rollout(failed(2)))
        .with(told("a", 2).failing("AttachFailed", ""))
        .with(serves("b", 1));
    let plan = pool.plan();
    assert_eq!(changed(&plan), [("a", 3)], "first the node that does not serve");
    assert_eq!(plan.record.failure, None);
}

#[test]
fn a_rollback_takes_changed_nodes_back_one_at_a_time() {
    let rollback = || pool(generation(2).on_failure(OnFailure::Rollback).rollout(failed(2)));
    let broken = || told("a", 2).failing("AttachFailed", "").conditions_seen(2);
    let first = rollback()
        .with(broken())
        .with(told("b", 2).ready(2))
        .with(serves("c", 1));
    assert_eq!(changed(&first.plan()), [("a", 1)]);
    let second = rollback()
        .with(serves("a", 1))
        .with(told("b", 2).ready(2))
        .with(serves("c", 1));
    assert_eq!(changed(&second.plan()), [("b", 1)]);
    let last = rollback()
        .with(serves("a", 1))
        .with(serves("b", 1))
        .with(serves("c", 1));
    let done = last.plan();
    assert_eq!(changed(&done), NONE);
    assert_eq!(done.progress.phase, Phase::RolledBack);
    assert!(done.record.failure.expect("it is remembered").rolled_back);
}

#[test]
fn a_node_that_joins_after_a_failure_gets_what_is_good() {
    for on_failure in [OnFailure::Halt, OnFailure::Rollback] {
        let pool = pool(generation(2).on_failure(on_failure).rollout(failed(2)))
            .with(serves("b", 1))
            .joining("c");
        assert_eq!(changed(&pool.plan()), [("c", 1)], "{on_failure:?}");
    }
}

#[test]
fn a_node_that_fails_when_every_node_has_the_generation_is_no_failure_of_it() {
    let record = RolloutStatus {
        completed_generation: Some(2),
        failure: None,
    };
    let failing = told("a", 2).ready(2).failing("AttachFailed", "").conditions_seen(2);
    let pool = pool(generation(2).on_failure(OnFailure::Rollback).rollout(record.clone()))
        .with(failing)
        .with(told("b", 2).ready(2));
    let plan = pool.plan();
    assert_eq!((changed(&plan), &plan.record), (NONE.to_vec(), &record));
    assert_eq!(plan.progress.phase, Phase::RolledOut);
}

#[test]
fn a_node_of_another_policy_that_has_to_wait_is_taken_over_as_it_is() {
    let other = || datapath("a", &policy("other").max_sessions(77).build()).ready(1);
    let taken = |plan: &Plan<'_>| {
        let spec = &plan.changes[0].spec;
        assert_eq!((plan.changes[0].node, spec.policy.as_str()), ("a", "default"));
        assert_eq!(spec.session_affinity.default_timeout_seconds, 77);
        assert_eq!(spec.policy_generation, 0);
    };
    let restarting = serves("b", 2).failing("Starting", "");
    taken(&pool(generation(2)).with(other()).with(restarting).plan());
    taken(&pool(generation(2)).with(other()).down().plan());
    taken(&pool(generation(2).rollout(failed(2))).with(other()).plan());
}

#[test]
fn a_node_of_another_policy_is_taken_over_without_waiting_if_nothing_changes_for_it() {
    let other = datapath("a", &policy("other").max_sessions(2).build()).ready(1);
    let restarting = serves("b", 2).failing("Starting", "");
    let pool = pool(generation(2)).with(other).with(restarting);
    assert_eq!(changed(&pool.plan()), [("a", 2)]);
}
