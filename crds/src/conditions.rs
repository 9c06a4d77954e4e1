//! Conditions of both kinds: their types and reasons, and how they are set.
//!
//! Rules are those of the Kubernetes API conventions: adjectives, `True`/`False`/`Unknown`, a CamelCase reason that
//! programs may rely on, and a `lastTransitionTime` that moves only when the status does.

mod reason;
mod types;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

pub use reason::{NodeReason, PolicyReason};
pub use types::{ConditionStatus, NodeCondition, PolicyCondition};

/// A condition as its writer sees it, before it gets its `lastTransitionTime`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observation {
    /// Type of the condition, for instance [`NodeCondition::Ready`].
    pub type_: &'static str,
    /// Does it hold?
    pub status: ConditionStatus,
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// The condition of this type, if it is there.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// What the condition of this type says; `Unknown` if it is not there.
pub fn status(conditions: &[Condition], type_: &str) -> ConditionStatus {
    find(conditions, type_).map_or(ConditionStatus::Unknown, |condition| {
        ConditionStatus::parse(&condition.status)
    })
}

/// Does the condition of this type hold?
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    status(conditions, type_) == ConditionStatus::True
}

/// The conditions after these observations, in their order.
///
/// `lastTransitionTime` is carried over from `old` where the status stays, and is `now` (cut to whole seconds, as the
/// API server stores it) where it changes. Types that are not observed are left out: a writer owns its whole set.
pub fn apply(
    old: &[Condition],
    observations: Vec<Observation>,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    observations
        .into_iter()
        .map(
            |Observation {
                 type_,
                 status,
                 reason,
                 message,
             }| {
                let since = find(old, type_)
                    .filter(|condition| condition.status == status.as_str())
                    .map_or_else(
                        || Time(whole_seconds(now)),
                        |condition| condition.last_transition_time.clone(),
                    );
                Condition {
                    type_: type_.to_owned(),
                    status: status.as_str().to_owned(),
                    reason: reason.to_owned(),
                    message,
                    observed_generation,
                    last_transition_time: since,
                }
            },
        )
        .collect()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: ConditionStatus, message: &str) -> Observation {
        Observation {
            type_: NodeCondition::Ready.as_str(),
            status,
            reason: NodeReason::Serving.as_str(),
            message: message.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = apply(&[], vec![ready(ConditionStatus::False, "starting")], Some(1), at(100));
        let same = apply(
            &first,
            vec![ready(ConditionStatus::False, "still starting")],
            Some(2),
            at(200),
        );
        let flipped = apply(&same, vec![ready(ConditionStatus::True, "serving")], Some(2), at(300));
        let times: Vec<_> = [&first, &same, &flipped]
            .map(|c| c[0].last_transition_time.0.as_second())
            .into();
        assert_eq!(times, [100, 100, 300]);
        assert_eq!(
            (same[0].message.as_str(), same[0].observed_generation),
            ("still starting", Some(2))
        );
    }

    #[test]
    fn a_condition_that_is_not_there_is_unknown() {
        assert_eq!(status(&[], NodeCondition::Ready.as_str()), ConditionStatus::Unknown);
        assert!(!is_true(&[], NodeCondition::Ready.as_str()));
    }
}
