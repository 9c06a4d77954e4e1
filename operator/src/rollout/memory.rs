//! What the operator notes beside the spec of a node when it changes it.

use jiff::{SignedDuration, Timestamp};
use kpr_crds::{NodeDatapath, NodeDatapathSpec};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{health, same_configuration};

/// Annotation of a `NodeDatapath`: a [`Memory`] as JSON. It is written together with the spec, in one request.
pub const ROLLOUT: &str = "kpr.dev/rollout";

/// How a node came to the spec that it has.
///
/// An annotation and no field of the spec: it is nothing that an agent has to carry out, and changes no generation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Since when it has the spec: the deadline counts from here.
    pub since: Timestamp,
    /// Was it well when it was changed? Otherwise it says nothing about the change when it is not well with it.
    pub was_well: bool,
    /// Does the spec differ from what it served with in more than its number? Otherwise it goes on serving meanwhile.
    pub reconfigured: bool,
    /// What it served with before, to which a rollback takes it; none if it has never served.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_good: Option<NodeDatapathSpec>,
}

impl Memory {
    /// The memory of this node; none if it has none, or one that can't be read.
    pub fn of(datapath: &NodeDatapath) -> Option<Self> {
        serde_json::from_str(datapath.annotations().get(ROLLOUT)?).ok()
    }

    /// The memory of a node that gets its first spec: when it serves, it serves with that.
    pub fn first(now: Timestamp) -> Self {
        Self {
            reconfigured: false,
            ..Self::lost(now)
        }
    }

    /// The memory of a node of which nothing is known any more.
    pub fn lost(now: Timestamp) -> Self {
        Self {
            since: now,
            was_well: false,
            reconfigured: true,
            last_good: None,
        }
    }

    /// The memory of a node that goes from the spec that it has to this one.
    ///
    /// `completed`: the last generation of its policy that reached every node. It is good even where it differs from the
    /// next one in nothing but its number.
    pub fn of_change(
        datapath: &NodeDatapath,
        to: &NodeDatapathSpec,
        completed: Option<i64>,
        deadline: SignedDuration,
        now: Timestamp,
    ) -> Self {
        let before = Self::of(datapath);
        if health::settled(datapath) {
            let from = &datapath.spec;
            let complete = from.policy == to.policy && completed.is_some_and(|good| from.policy_generation <= good);
            let older = before.and_then(|before| before.last_good);
            let older = older.filter(|_| !complete && same_configuration(from, to));
            return Self {
                since: now,
                was_well: health::failure(datapath).is_none(),
                reconfigured: !same_configuration(from, to),
                last_good: older.or_else(|| Some(from.clone())),
            };
        }
        // Changed again before it was ready: if it still may get ready, it counts as the well node that it was.
        let on_its_way = |memory: &Self| {
            memory.was_well
                && memory.left(deadline, now).is_some()
                && health::failure_with_this_spec(datapath).is_none()
        };
        Self {
            since: now,
            was_well: before.as_ref().is_some_and(on_its_way),
            reconfigured: before.as_ref().is_none_or(|before| before.reconfigured)
                || !same_configuration(&datapath.spec, to),
            last_good: before.and_then(|before| before.last_good),
        }
    }

    /// What is left of the deadline; none if it has passed. A clock that went back only starts the wait anew.
    pub fn left(&self, deadline: SignedDuration, now: Timestamp) -> Option<SignedDuration> {
        let waited = now.duration_since(self.since).max(SignedDuration::ZERO);
        let left = deadline - waited;
        left.is_positive().then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{Datapath, at, datapath, policy};
    use crate::render;

    const DEADLINE: SignedDuration = SignedDuration::from_secs(600);

    fn spec(generation: i64, max_sessions: u32) -> NodeDatapathSpec {
        let policy = policy("default").generation(generation).max_sessions(max_sessions);
        render::active(&policy.build())
    }

    fn node(spec: &NodeDatapathSpec) -> Datapath {
        datapath("n", &policy("default").build()).spec(spec.clone())
    }

    fn change(from: Datapath, to: &NodeDatapathSpec) -> Memory {
        Memory::of_change(&from.build(), to, None, DEADLINE, at(1000))
    }

    #[test]
    fn a_node_that_serves_can_go_back_to_what_it_serves_with() {
        let memory = change(node(&spec(6, 10)).ready(6), &spec(7, 20));
        assert_eq!(memory.last_good, Some(spec(6, 10)));
        assert!(memory.was_well);
        assert_eq!(memory.since, at(1000));
    }

    #[test]
    fn a_node_that_is_changed_twice_can_go_back_to_what_it_served_with() {
        let before = Memory {
            since: at(900),
            was_well: true,
            reconfigured: true,
            last_good: Some(spec(6, 10)),
        };
        let on_its_way = || node(&spec(7, 20)).ready(6).memory(&before);
        let memory = change(on_its_way(), &spec(8, 30));
        assert_eq!((memory.last_good, memory.was_well), (Some(spec(6, 10)), true));

        let failing = on_its_way().failing("AttachFailed", "");
        assert!(!change(failing, &spec(8, 30)).was_well, "it was not well any more");
        let late = Memory::of_change(&on_its_way().build(), &spec(8, 30), None, DEADLINE, at(1500));
        assert!(!late.was_well, "it missed its deadline");
    }

    #[test]
    fn a_number_alone_is_nothing_to_go_back_to_unless_every_node_had_it() {
        let before = Memory {
            since: at(0),
            was_well: true,
            reconfigured: true,
            last_good: Some(spec(6, 10)),
        };
        let from = node(&spec(7, 20)).ready(7).memory(&before).build();
        let to = spec(8, 20);
        let good = |completed| Memory::of_change(&from, &to, completed, DEADLINE, at(1000)).last_good;
        assert_eq!(good(Some(6)), Some(spec(6, 10)));
        assert_eq!(good(Some(7)), Some(spec(7, 20)));
    }

    #[test]
    fn a_memory_that_can_not_be_read_is_none() {
        let unreadable = node(&spec(1, 1)).annotation(ROLLOUT, "{]").build();
        assert_eq!(Memory::of(&unreadable), None);
    }

    #[test]
    fn a_memory_of_a_newer_operator_is_read() {
        let mut json = serde_json::to_value(Memory {
            last_good: Some(spec(6, 10)),
            ..Memory::first(at(5))
        })
        .expect("JSON");
        json["lastGood"]["notKnownYet"] = serde_json::json!({ "a": 1 });
        json["notKnownYet"] = serde_json::json!(true);
        let read = node(&spec(1, 1)).annotation(ROLLOUT, &json.to_string()).build();
        assert_eq!(Memory::of(&read).and_then(|memory| memory.last_good), Some(spec(6, 10)));
    }
}
