//! What users are told with Kubernetes Events: transitions, not states.

use kpr_crds::conditions::{self, ConditionStatus, PolicyCondition, PolicyReason};
use kpr_crds::{KubeProxyReplacementStatus, Mode};

use crate::drain::GaveUp;

/// An Event about a `KubeProxyReplacement`, before it is published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Does it want attention? (`Warning` instead of `Normal`.)
    pub warning: bool,
    /// CamelCase name of what happened.
    pub reason: &'static str,
    /// What the operator was doing.
    pub action: &'static str,
    /// What happened, and what to do about it.
    pub note: String,
}

/// What is worth telling when the status goes from `old` to `new`.
pub fn of_transition(
    mode: Mode,
    old: Option<&KubeProxyReplacementStatus>,
    new: &KubeProxyReplacementStatus,
) -> Vec<Notice> {
    let old = old.map_or(&[][..], |status| &status.conditions);
    let mut notices = Vec::new();
    for condition in &new.conditions {
        let now = ConditionStatus::parse(&condition.status);
        let before = conditions::status(old, &condition.type_);
        let told = |warning, reason| {
            Some(Notice {
                warning,
                reason,
                action: "Observe",
                note: condition.message.clone(),
            })
        };
        let is = |type_: PolicyCondition| condition.type_ == type_.as_str();
        if is(PolicyCondition::Progressing) {
            let old = conditions::find(old, &condition.type_).map(|condition| condition.reason.as_str());
            let news = stop(&condition.reason).filter(|_| old != Some(condition.reason.as_str()));
            notices.extend(news.and_then(|reason| told(true, reason)));
        }
        if now == before {
            continue;
        }
        let notice = match now {
            ConditionStatus::True if is(PolicyCondition::Available) => told(false, "Available"),
            ConditionStatus::False if is(PolicyCondition::Available) && before == ConditionStatus::True => {
                told(condition.reason != PolicyReason::Draining.as_str(), "Unavailable")
            }
            ConditionStatus::True if is(PolicyCondition::Degraded) => told(true, "Degraded"),
            ConditionStatus::False if is(PolicyCondition::Degraded) && before == ConditionStatus::True => {
                told(false, "Recovered")
            }
            ConditionStatus::True if is(PolicyCondition::Conflicted) => told(true, "Conflicted"),
            ConditionStatus::False if is(PolicyCondition::KubeProxyAbsent) && is_managed(&condition.reason) => None,
            ConditionStatus::False if condition.reason == PolicyReason::NotParkable.as_str() => {
                told(true, "KubeProxyNotParkable")
            }
            // With `Partial`, kube-proxy is meant to run.
            ConditionStatus::False if is(PolicyCondition::KubeProxyAbsent) && mode == Mode::Strict => {
                told(true, "KubeProxyFound")
            }
            ConditionStatus::False
                if condition.reason == PolicyReason::RolledOut.as_str() && before == ConditionStatus::True =>
            {
                told(false, "RolledOut")
            }
            _ => None,
        };
        notices.extend(notice);
    }
    notices
}

/// The reason of a rollout that does not get on, as the Event's own.
fn stop(reason: &str) -> Option<&'static str> {
    [
        PolicyReason::RolloutStalled,
        PolicyReason::RolloutHalted,
        PolicyReason::RollingBack,
        PolicyReason::RolledBack,
        PolicyReason::RollbackStalled,
    ]
    .into_iter()
    .map(PolicyReason::as_str)
    .find(|stop| *stop == reason)
}

/// Is kube-proxy there because that is its turn, on its way out or back?
fn is_managed(reason: &str) -> bool {
    [
        PolicyReason::WaitingForNodes,
        PolicyReason::Parking,
        PolicyReason::CleaningUp,
        PolicyReason::Restoring,
    ]
    .iter()
    .any(|managed| managed.as_str() == reason)
}

/// The removal from a node was not waited for any longer.
pub fn gave_up(node: &str, why: GaveUp) -> Notice {
    let why = match why {
        GaveUp::NodeDown => "the Node is not ready",
        GaveUp::AgentSilent => "its agent does not answer",
    };
    let text = format!(
        "removal from {node} was not confirmed, as {why}: programs, pins and sysctls of kpr may be left there; \
         a restart of the node removes them"
    );
    Notice {
        warning: true,
        reason: "RemovalNotConfirmed",
        action: "Drain",
        note: text,
    }
}

/// kube-proxy was not waited for any longer.
pub fn kube_proxy_not_back(node: &str) -> Notice {
    let text = format!(
        "kube-proxy has not come back to {node} in time: its datapath goes all the same, and Services do not work there until \
         kube-proxy runs"
    );
    Notice {
        warning: true,
        reason: "KubeProxyNotBack",
        action: "Drain",
        note: text,
    }
}

/// Nodes begin to remove their datapath.
pub fn draining(nodes: usize) -> Notice {
    let note = format!("nodes that remove their datapath: {nodes}");
    Notice {
        warning: false,
        reason: "Draining",
        action: "Drain",
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::at;
    use kpr_crds::conditions::Observation;

    fn status(observed: &[(PolicyCondition, ConditionStatus)]) -> KubeProxyReplacementStatus {
        let observations = observed
            .iter()
            .map(|(type_, status)| Observation {
                type_: type_.as_str(),
                status: *status,
                reason: PolicyReason::AsExpected.as_str(),
                message: String::new(),
            })
            .collect();
        KubeProxyReplacementStatus {
            conditions: conditions::apply(&[], observations, None, at(0)),
            ..KubeProxyReplacementStatus::default()
        }
    }

    #[test]
    fn events_tell_transitions() {
        use ConditionStatus::{False, True, Unknown};
        use PolicyCondition::{Available, Conflicted, Degraded, KubeProxyAbsent};
        let table = [
            (Available, Unknown, True, Some((false, "Available"))),
            (Available, Unknown, False, None),
            (Available, True, False, Some((true, "Unavailable"))),
            (Available, True, True, None),
            (Degraded, False, True, Some((true, "Degraded"))),
            (Degraded, True, False, Some((false, "Recovered"))),
            (Degraded, Unknown, False, None),
            (Conflicted, False, True, Some((true, "Conflicted"))),
            (KubeProxyAbsent, Unknown, False, Some((true, "KubeProxyFound"))),
            (KubeProxyAbsent, Unknown, True, None),
        ];
        for (type_, before, now, expected) in table {
            let notices = of_transition(
                Mode::Strict,
                Some(&status(&[(type_, before)])),
                &status(&[(type_, now)]),
            );
            let told: Vec<_> = notices.iter().map(|notice| (notice.warning, notice.reason)).collect();
            assert_eq!(
                told,
                expected.into_iter().collect::<Vec<_>>(),
                "{type_} from {before} to {now}"
            );
        }
    }

    #[test]
    fn a_rollout_tells_its_end_and_whatever_stops_it() {
        use ConditionStatus::{False, True, Unknown};
        use PolicyReason::{RolledBack, RolledOut, RollingBack, RollingOut, RolloutHalted};
        let progressing = |status, reason: PolicyReason| {
            let observation = Observation {
                type_: PolicyCondition::Progressing.as_str(),
                status,
                reason: reason.as_str(),
                message: String::new(),
            };
            KubeProxyReplacementStatus {
                conditions: conditions::apply(&[], vec![observation], None, at(0)),
                ..KubeProxyReplacementStatus::default()
            }
        };
        let table = [
            ((True, RollingOut), (False, RolledOut), Some((false, "RolledOut"))),
            ((Unknown, RollingOut), (False, RolledOut), None),
            ((True, RollingOut), (True, RollingOut), None),
            (
                (True, RollingOut),
                (False, RolloutHalted),
                Some((true, "RolloutHalted")),
            ),
            ((True, RollingOut), (True, RollingBack), Some((true, "RollingBack"))),
            ((True, RollingBack), (False, RolledBack), Some((true, "RolledBack"))),
            ((False, RolledBack), (False, RolledBack), None),
        ];
        for (before, now, expected) in table {
            let (old, new) = (progressing(before.0, before.1), progressing(now.0, now.1));
            let notices = of_transition(Mode::Strict, Some(&old), &new);
            let told: Vec<_> = notices.iter().map(|notice| (notice.warning, notice.reason)).collect();
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{before:?} to {now:?}");
        }
    }

    #[test]
    fn with_partial_a_running_kube_proxy_is_no_news() {
        let found = status(&[(PolicyCondition::KubeProxyAbsent, ConditionStatus::False)]);
        assert_eq!(of_transition(Mode::Partial, None, &found), []);
    }
}
