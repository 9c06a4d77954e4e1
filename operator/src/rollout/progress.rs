//! Where a rollout stands, for people.

use kpr_crds::{OnFailure, RolloutFailure, RolloutStatus};

use super::plan::Walked;
use super::{Context, Member, health};

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// Every node that can have the newest generation serves with it.
    #[default]
    RolledOut,
    /// It is on its way.
    RollingOut,
    /// Nodes hold it up that were not well before either.
    Stalled,
    /// It failed: no further node is changed.
    Halted,
    /// It failed: changed nodes go back.
    RollingBack,
    /// It failed, and changed nodes are back.
    RolledBack,
    /// It failed, and a node does not get ready with what it served with before either.
    RollbackStalled,
}

/// Where a rollout stands, and what it waits for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress<'a> {
    /// Where it stands.
    pub phase: Phase,
    /// Why it was stopped, if it was.
    pub failure: Option<RolloutFailure>,
    /// The node that it waits for.
    pub waiting: Option<Waiting<'a>>,
    /// Those that come after it.
    pub then: Vec<&'a str>,
}

/// The node that is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting<'a> {
    /// Its name.
    pub node: &'a str,
    /// What it does, or why it can't.
    pub why: String,
}

pub(super) fn of<'a>(
    pool: &[Member<'a>],
    context: &Context<'_>,
    record: &RolloutStatus,
    walked: &Walked<'a>,
) -> Progress<'a> {
    let failure = record.failure.clone();
    let complete = record.completed_generation == Some(context.newest.policy_generation);
    let waits = |member: &&Member<'a>| match &failure {
        Some(_) => member.on_its_way_back() || (member.up && member.is_at(context.newest)),
        None => (member.up || member.is_out()) && !has_it(member, context, complete),
    };
    let rolled_back = failure.as_ref().is_some_and(|failure| failure.rolled_back);
    let halted = failure.is_some() && context.strategy.on_failure == OnFailure::Halt;
    let waiting: Vec<&Member<'a>> = if halted || rolled_back {
        Vec::new()
    } else {
        pool.iter().filter(waits).collect()
    };
    // What is under way first: the others wait for it.
    let first = waiting.iter().position(|member| member.is_out()).unwrap_or(0);
    // A new failure is acted upon once it is written down: until then nothing is stuck.
    let deadline = context.deadline();
    let hope = !walked.changes.is_empty()
        || waiting
            .iter()
            .any(|member| member.on_its_way(deadline, context.now).is_some());
    let news = failure.as_ref() != context.before.and_then(|before| before.failure.as_ref());
    let phase = match (&failure, waiting.is_empty()) {
        (Some(_), _) if halted => Phase::Halted,
        (Some(_), true) => Phase::RolledBack,
        (Some(_), false) if hope || news => Phase::RollingBack,
        (Some(_), false) => Phase::RollbackStalled,
        (None, true) => Phase::RolledOut,
        (None, false) if hope => Phase::RollingOut,
        (None, false) => Phase::Stalled,
    };
    let then = waiting.iter().enumerate().filter(|(index, _)| *index != first);
    Progress {
        phase,
        failure,
        waiting: waiting.get(first).map(|member| Waiting {
            node: member.name,
            why: member.why(),
        }),
        then: then.map(|(_, member)| member.name).collect(),
    }
}

/// Does the node serve with the newest generation? Once every node did, it is enough that it has it.
fn has_it(member: &Member<'_>, context: &Context<'_>, complete: bool) -> bool {
    member.is_at(context.newest) && (member.settled() || (complete && member.active().is_some_and(health::carried_out)))
}
