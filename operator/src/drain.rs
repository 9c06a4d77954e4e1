//! When a node is done with the removal of its datapath.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kpr_crds::conditions::{self, NodeCondition};
use kpr_crds::{NodeDatapath, Phase};

use crate::node::NodeView;
use crate::render::draining_since;

/// How long a removal may take before the operator goes on without the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// For a node that is not ready: nobody there can answer.
    pub node_down: Duration,
    /// For a node that is up, but whose agent does not answer.
    pub agent_silent: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            node_down: Duration::from_mins(1),
            agent_silent: Duration::from_mins(10),
        }
    }
}

/// What to do next about a datapath that has to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask the agent to remove it.
    Ask,
    /// Wait for the agent; look again after this time at the latest.
    Wait(Duration),
    /// It is gone: delete the object.
    Release,
    /// The agent did not answer in time: delete the object, and say that something may be left on the node.
    GiveUp(GaveUp),
}

/// Why a removal was not waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GaveUp {
    /// The Node is not ready.
    NodeDown,
    /// The Node is ready, but its agent did not answer.
    AgentSilent,
}

/// The next step for a datapath that has to go; `node` is its Node, if it still exists.
pub fn step(datapath: &NodeDatapath, node: Option<&NodeView>, limits: Limits, now: Timestamp) -> Step {
    let Some(node) = node else {
        return Step::Release;
    };
    if datapath.spec.phase != Phase::Draining {
        return Step::Ask;
    }
    if removed(datapath) {
        return Step::Release;
    }
    let (limit, gave_up) = if node.up {
        (limits.agent_silent, GaveUp::AgentSilent)
    } else {
        (limits.node_down, GaveUp::NodeDown)
    };
    // Without the annotation (someone removed it) the wait starts again; `decide` writes it back.
    let waited = draining_since(datapath).map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    let waited = Duration::try_from(waited).unwrap_or_default();
    match limit.checked_sub(waited) {
        Some(left) if !left.is_zero() => Step::Wait(left),
        _ => Step::GiveUp(gave_up),
    }
}

/// Does the agent say that the datapath was removed, in answer to this very spec and not to an earlier one?
fn removed(datapath: &NodeDatapath) -> bool {
    let Some(status) = &datapath.status else {
        return false;
    };
    let condition = conditions::find(&status.conditions, NodeCondition::Removed.as_str());
    let Some(condition) = condition.filter(|condition| condition.status == "True") else {
        return false;
    };
    let seen = condition.observed_generation.max(status.observed_generation);
    seen.is_none_or(|seen| seen >= datapath.metadata.generation.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{Datapath, at, datapath, node, policy};

    const LIMITS: Limits = Limits {
        node_down: Duration::from_mins(1),
        agent_silent: Duration::from_mins(10),
    };

    fn draining() -> Datapath {
        datapath("node-a", &policy("default").build())
            .draining_since(at(1000))
            .generation(4)
    }

    #[test]
    fn an_active_datapath_is_asked_to_go() {
        let active = datapath("node-a", &policy("default").build()).build();
        assert_eq!(step(&active, Some(&node().build()), LIMITS, at(0)), Step::Ask);
    }

    #[test]
    fn the_object_goes_with_its_node() {
        let active = datapath("node-a", &policy("default").build()).build();
        assert_eq!(step(&active, None, LIMITS, at(0)), Step::Release);
    }

    #[test]
    fn the_object_goes_when_the_agent_is_done() {
        let done = draining().removed(4).build();
        assert_eq!(step(&done, Some(&node().build()), LIMITS, at(1001)), Step::Release);
    }

    #[test]
    fn an_answer_to_an_earlier_removal_does_not_count() {
        let stale = draining().removed(2).build();
        assert_eq!(
            step(&stale, Some(&node().build()), LIMITS, at(1000)),
            Step::Wait(LIMITS.agent_silent)
        );
    }

    #[test]
    fn waiting_is_bounded_and_shorter_for_a_node_that_is_down() {
        let seconds = Duration::from_secs;
        let table = [
            (true, 1000, Step::Wait(seconds(600))),
            (true, 1599, Step::Wait(seconds(1))),
            (true, 1600, Step::GiveUp(GaveUp::AgentSilent)),
            (false, 1000, Step::Wait(seconds(60))),
            (false, 1060, Step::GiveUp(GaveUp::NodeDown)),
            // The clock went back since the annotation was written.
            (false, 900, Step::Wait(seconds(60))),
        ];
        for (up, now, expected) in table {
            let node = if up { node().build() } else { node().down().build() };
            assert_eq!(
                step(&draining().build(), Some(&node), LIMITS, at(now)),
                expected,
                "up={up} at {now}"
            );
        }
    }
}
