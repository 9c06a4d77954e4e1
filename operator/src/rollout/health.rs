//! What a node's status says about its datapath.

use kpr_crds::conditions::{self, NodeCondition, NodeReason};
use kpr_crds::{Condition, NodeDatapath, Phase};

/// Longest text of an agent that is passed on, in characters.
const QUOTED: usize = 200;

/// Does the node serve, with whatever configuration?
pub fn serving(datapath: &NodeDatapath) -> bool {
    datapath
        .status
        .as_ref()
        .is_some_and(|status| conditions::is_true(&status.conditions, NodeCondition::Ready.as_str()))
}

/// Has the agent carried out the spec as it is now?
pub fn carried_out(datapath: &NodeDatapath) -> bool {
    datapath.status.as_ref().is_some_and(|status| {
        status.policy_generation == Some(datapath.spec.policy_generation)
            && status
                .observed_generation
                .is_none_or(|seen| seen >= datapath.metadata.generation.unwrap_or_default())
    })
}

/// Does the node serve with the spec as it is now? If not, it may be out of service because of it.
pub fn settled(datapath: &NodeDatapath) -> bool {
    datapath.spec.phase == Phase::Active && serving(datapath) && carried_out(datapath)
}

/// The condition by which a node says what it can't do; starting and stopping are no failures.
pub fn failure(datapath: &NodeDatapath) -> Option<&Condition> {
    let conditions = &datapath.status.as_ref()?.conditions;
    // `Ready` last: it only sums up what the others say in detail.
    [
        NodeCondition::DevicesAttached,
        NodeCondition::ServicesSynced,
        NodeCondition::SnatPortsAvailable,
        NodeCondition::Accelerated,
        NodeCondition::Ready,
    ]
    .into_iter()
    .filter_map(|type_| conditions::find(conditions, type_.as_str()))
    .find(|condition| condition.status == "False" && !harmless(condition))
}

/// A failure that the agent reports knowing the spec as it is now; an older one says nothing about it.
pub fn failure_with_this_spec(datapath: &NodeDatapath) -> Option<&Condition> {
    let generation = datapath.metadata.generation.unwrap_or_default();
    failure(datapath).filter(|condition| condition.observed_generation.is_none_or(|seen| seen >= generation))
}

/// It passes, or nothing is wrong: a best effort asks for no more than there is.
fn harmless(condition: &Condition) -> bool {
    [
        NodeReason::Starting,
        NodeReason::Syncing,
        NodeReason::Draining,
        NodeReason::XdpUnavailable,
    ]
    .iter()
    .any(|reason| condition.reason == reason.as_str())
}

/// The condition's reason and message in one short line.
pub fn in_words(condition: &Condition) -> String {
    format!("{}: {}", condition.reason, one_line(&condition.message))
}

/// The text on one line, cut where it is long.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{datapath, policy};

    #[test]
    fn a_node_is_settled_when_it_serves_with_the_spec_that_it_has() {
        let old = policy("default").generation(1).build();
        let new = policy("default").generation(2).max_sessions(60).build();
        assert!(settled(&datapath("n", &old).ready(1).build()));
        assert!(!settled(&datapath("n", &old).build()), "nothing is reported");
        assert!(
            !settled(&datapath("n", &new).ready(1).build()),
            "ready, but with the old one"
        );
        assert!(
            !settled(&datapath("n", &new).ready(2).failing("AttachFailed", "").build()),
            "carried out, but not ready"
        );
    }

    #[test]
    fn a_failure_that_was_seen_with_an_older_spec_is_none_of_this_one() {
        let policy = policy("default").build();
        let failing = || {
            datapath("n", &policy)
                .generation(4)
                .failing("AttachFailed", "eth7:\n no such device")
        };
        let old = failing().conditions_seen(3).build();
        assert!(failure(&old).is_some());
        assert_eq!(failure_with_this_spec(&old), None);
        let new = failing().conditions_seen(4).build();
        let words = failure_with_this_spec(&new).map(in_words);
        assert_eq!(words.as_deref(), Some("AttachFailed: eth7: no such device"));
    }

    #[test]
    fn a_starting_agent_has_not_failed() {
        let starting = datapath("n", &policy("default").build())
            .failing("Starting", "")
            .build();
        assert_eq!(failure(&starting), None);
    }
}
