//! A node of the pool, and where it stands.

use jiff::{SignedDuration, Timestamp};
use kpr_crds::{NodeDatapath, NodeDatapathSpec, Phase, RolloutFailure};

use super::{Memory, health};

/// Reason of a failure: the node was not ready in time.
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";

/// A node of the pool, as its objects show it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Name of the node.
    pub name: &'a str,
    /// Is the Node itself up?
    pub up: bool,
    /// Its datapath, whosever policy it has.
    pub datapath: Option<&'a NodeDatapath>,
}

impl<'a> Member<'a> {
    /// Its datapath, if it has one that is not on its way out.
    pub(super) fn active(&self) -> Option<&'a NodeDatapath> {
        self.datapath.filter(|datapath| datapath.spec.phase == Phase::Active)
    }

    /// Does it serve with the spec that it has?
    pub(super) fn settled(&self) -> bool {
        self.active().is_some_and(health::settled)
    }

    /// Does it serve, and can nothing that it was told take it out of service?
    pub(super) fn stands(&self) -> bool {
        self.active().is_some_and(|datapath| {
            health::serving(datapath)
                && (health::carried_out(datapath) || Memory::of(datapath).is_some_and(|memory| !memory.reconfigured))
        })
    }

    /// Is it out of service, or may it be because it was changed?
    ///
    /// A node whose agent has never reported has nothing to lose yet: nodes that join do not hold up the others. A Node
    /// that is down and served before is not our doing; one that went down with a change may be.
    pub(super) fn is_out(&self) -> bool {
        self.active().is_some_and(|datapath| {
            !self.stands()
                && ((self.up && datapath.status.is_some())
                    || health::serving(datapath)
                    || Memory::of(datapath).is_some_and(|memory| memory.last_good.is_some()))
        })
    }

    /// Was it taken back to what it served with before, and does not serve with that yet?
    pub(super) fn on_its_way_back(&self) -> bool {
        self.is_out()
            && self.active().is_some_and(|datapath| {
                Memory::of(datapath).is_some_and(|memory| memory.last_good.as_ref() == Some(&datapath.spec))
            })
    }

    /// Does its datapath belong to this policy, and is it told this generation of it?
    pub(super) fn is_at(&self, newest: &NodeDatapathSpec) -> bool {
        self.active().is_some_and(|datapath| {
            datapath.spec.policy == newest.policy && datapath.spec.policy_generation == newest.policy_generation
        })
    }

    /// How long it can still be waited for; none if there is nothing to wait for, or no hope.
    pub(super) fn on_its_way(&self, deadline: SignedDuration, now: Timestamp) -> Option<SignedDuration> {
        let datapath = self.active().filter(|datapath| !health::settled(datapath))?;
        if health::failure_with_this_spec(datapath).is_some() {
            return None;
        }
        Memory::of(datapath)?.left(deadline, now)
    }

    /// The failure that stops the rollout of this spec: the node was well, was changed to it, and is not well with it.
    pub(super) fn failed(
        &self,
        newest: &NodeDatapathSpec,
        deadline: SignedDuration,
        now: Timestamp,
    ) -> Option<RolloutFailure> {
        let datapath = self.active()?;
        let failing = health::failure_with_this_spec(datapath).filter(|_| self.up);
        if !self.is_at(newest) || (failing.is_none() && health::settled(datapath)) {
            return None;
        }
        let memory = Memory::of(datapath).filter(|memory| memory.was_well)?;
        let (reason, message) = match failing {
            Some(condition) => (condition.reason.clone(), health::one_line(&condition.message)),
            None if memory.left(deadline, now).is_some() => return None,
            None => (
                DEADLINE_EXCEEDED.to_owned(),
                format!("not ready within {} s: {}", deadline.as_secs(), self.why()),
            ),
        };
        Some(RolloutFailure {
            generation: newest.policy_generation,
            node: self.name.to_owned(),
            reason,
            message,
            rolled_back: false,
        })
    }

    /// Why it is waited for, in a few words.
    pub(super) fn why(&self) -> String {
        if !self.up {
            return "the Node itself is not ready".to_owned();
        }
        let Some(datapath) = self.active().filter(|datapath| datapath.status.is_some()) else {
            return "its agent has not reported yet".to_owned();
        };
        if let Some(failure) = health::failure(datapath) {
            return health::in_words(failure);
        }
        if !health::carried_out(datapath) {
            return "its agent is applying it".to_owned();
        }
        if !health::serving(datapath) {
            return "its datapath is not ready".to_owned();
        }
        "its turn has not come".to_owned()
    }
}
