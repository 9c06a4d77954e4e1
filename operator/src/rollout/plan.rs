//! The next step of a rollout.

use std::borrow::Cow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kpr_crds::{NodeDatapath, NodeDatapathSpec, OnFailure, RolloutFailure, RolloutStatus, UpdateStrategy};

use super::good::Good;
use super::progress::{self, Progress};
use super::{Member, Memory, same_configuration};

/// What a plan depends on besides the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What every node should have.
    pub newest: &'a NodeDatapathSpec,
    /// How it gets there.
    pub strategy: &'a UpdateStrategy,
    /// What the policy's status remembers.
    pub before: Option<&'a RolloutStatus>,
    /// The time.
    pub now: Timestamp,
}

/// A node that gets a spec now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Its new spec.
    pub spec: NodeDatapathSpec,
    /// What is noted beside it.
    pub memory: Memory,
}

/// The next step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// Nodes that get a spec now.
    pub changes: Vec<Change<'a>>,
    /// What the policy's status has to remember. A new failure is written before anything is done about it.
    pub record: RolloutStatus,
    /// Where the rollout stands.
    pub progress: Progress<'a>,
    /// When the next deadline passes.
    pub again_in: Option<Duration>,
}

/// Decides the next step.
pub fn plan<'a>(pool: &[Member<'a>], context: &Context<'_>) -> Plan<'a> {
    let generation = context.newest.policy_generation;
    let deadline = context.deadline();
    let completed = context.before.and_then(|before| before.completed_generation);
    let known = context
        .before
        .and_then(|before| before.failure.as_ref())
        .filter(|failure| failure.generation == generation);
    let failure = match known {
        Some(known) => Some(known.clone()),
        // Every node had it: one that fails later says nothing about the change.
        None if completed == Some(generation) => None,
        None => pool
            .iter()
            .find_map(|member| member.failed(context.newest, deadline, context.now)),
    };
    let steps = Steps {
        context,
        completed,
        stopped: failure.is_some(),
        good: Good::new(pool, context.newest),
    };
    let mut walked = steps.walk(pool);
    if failure.is_some() && known.is_none() {
        // First it is written down that this generation failed: a rollback leaves no other trace of it.
        walked.changes.clear();
        walked.complete = false;
    }
    let record = RolloutStatus {
        completed_generation: match failure {
            None if walked.complete => Some(generation),
            _ => completed,
        },
        failure: failure.map(|failure| RolloutFailure {
            rolled_back: failure.rolled_back || (context.strategy.on_failure == OnFailure::Rollback && walked.complete),
            ..failure
        }),
    };
    let progress = progress::of(pool, context, &record, &walked);
    let again_in = pool
        .iter()
        .filter_map(|member| member.on_its_way(deadline, context.now))
        .min()
        .and_then(|left| Duration::try_from(left).ok());
    Plan {
        changes: walked.changes,
        record,
        progress,
        again_in,
    }
}

/// The same but for what becomes of kube-proxy's rules, which is not for a rollout to say.
fn same_but_for_rules(one: &NodeDatapathSpec, other: &NodeDatapathSpec) -> bool {
    one.policy == other.policy && one.policy_generation == other.policy_generation && same_configuration(one, other)
}

impl Context<'_> {
    pub(super) fn deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.strategy.progress_deadline_seconds))
    }
}

/// What came out of a walk over the pool.
pub(super) struct Walked<'a> {
    pub(super) changes: Vec<Change<'a>>,
    /// Has every node what it should have, as far as it can have it?
    pub(super) complete: bool,
}

struct Steps<'p, 'a> {
    context: &'p Context<'p>,
    completed: Option<i64>,
    /// Has the newest generation failed?
    stopped: bool,
    good: Good<'p, 'a>,
}

impl<'a> Steps<'_, 'a> {
    fn walk(&self, pool: &[Member<'a>]) -> Walked<'a> {
        let now = self.context.now;
        let out = pool.iter().filter(|member| member.is_out()).count();
        let limit = self.context.strategy.max_unavailable_of(pool.len());
        let mut budget = limit.saturating_sub(out);
        let mut walked = Walked {
            changes: Vec::new(),
            complete: true,
        };
        let change = |member: &Member<'a>, spec: &NodeDatapathSpec, memory| Change {
            node: member.name,
            spec: spec.clone(),
            memory,
        };
        for member in pool {
            let Some(datapath) = member.active() else {
                // It serves nothing yet: giving it a datapath takes nothing away.
                let memory = match member.datapath {
                    None => Memory::first(now),
                    Some(_) => Memory::lost(now),
                };
                walked.changes.push(change(member, self.for_newcomer(), memory));
                continue;
            };
            let settled = member.settled();
            let target = self.target(datapath);
            let Some(target) = target.filter(|target| !same_but_for_rules(target, &datapath.spec)) else {
                walked.complete &= settled || !self.is_waited_for(member, datapath);
                if !settled && Memory::of(datapath).is_none() {
                    // Someone removed it; the wait begins anew.
                    walked.changes.push(change(member, &datapath.spec, Memory::lost(now)));
                }
                continue;
            };
            // A Node that is down could not answer: it waits until it is up, and nobody waits for it.
            let stands = member.stands();
            walked.complete &= stands && !member.up;
            // What does not serve anyway, or has nothing to do, may go at any time; the rest while there is a budget.
            let costs = stands && !same_configuration(&datapath.spec, &target);
            if !stands || (member.up && (!costs || budget > 0)) {
                budget -= usize::from(costs);
                let memory = Memory::of_change(datapath, &target, self.completed, self.context.deadline(), now);
                walked.changes.push(change(member, &target, memory));
            } else if datapath.spec.policy != self.context.newest.policy {
                // The policy that had it may be waiting to go.
                let memory = if member.up {
                    Memory::of_change(datapath, &target, self.completed, self.context.deadline(), now)
                } else {
                    Memory::first(now)
                };
                walked.changes.push(change(member, &self.taken_over(datapath), memory));
            }
        }
        walked
    }

    /// The node with the configuration that it has, of no generation of this policy.
    fn taken_over(&self, datapath: &NodeDatapath) -> NodeDatapathSpec {
        NodeDatapathSpec {
            policy: self.context.newest.policy.clone(),
            policy_generation: 0,
            ..datapath.spec.clone()
        }
    }

    /// Is the rollout, or the rollback, not over before this node serves? It is without those that never did.
    fn is_waited_for(&self, member: &Member<'_>, datapath: &NodeDatapath) -> bool {
        if self.stopped {
            member.on_its_way_back()
        } else {
            Memory::of(datapath).is_some_and(|memory| memory.was_well)
        }
    }

    /// What a node without a datapath gets: it shall not be the next victim of a generation that failed.
    fn for_newcomer(&self) -> &NodeDatapathSpec {
        if self.stopped {
            self.good.spec().unwrap_or(self.context.newest)
        } else {
            self.context.newest
        }
    }

    /// What a node should have now; nothing if it stays as it is.
    fn target<'s>(&'s self, datapath: &NodeDatapath) -> Option<Cow<'s, NodeDatapathSpec>> {
        let newest = self.context.newest;
        let have = &datapath.spec;
        if !self.stopped {
            return Some(Cow::Borrowed(newest));
        }
        if have.policy != newest.policy {
            return Some(Cow::Owned(self.taken_over(datapath)));
        }
        let changed = have.policy_generation == newest.policy_generation;
        if !changed || self.context.strategy.on_failure == OnFailure::Halt {
            return None;
        }
        let own = Memory::of(datapath)
            .and_then(|memory| memory.last_good)
            .filter(|good| good.policy == newest.policy && good.policy_generation != newest.policy_generation);
        own.map(Cow::Owned).or_else(|| self.good.spec().map(Cow::Borrowed))
    }
}
