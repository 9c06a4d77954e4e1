//! Brings the tables of one address family to what the model asks for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::{Tables, backoff::Backoff};
use crate::{
    datapath::{Contents, Error},
    model::{DesiredService, Index, IpFamily, NamespacedName, NodeFacts, Problem},
    plan::{Generation, PlanError, Planner, Scope},
};

/// How long freed slots wait for programs that looked a service up just before it changed. Programs run for
/// microseconds, and the kernel's own grace periods end within tens of milliseconds: this is generous.
pub const GRACE: Duration = Duration::from_secs(1);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// The tables of a family, and how far they are from what is wanted.
#[derive(Debug)]
pub(super) struct ServiceTables<F: IpFamily> {
    planner: Planner<F>,
    /// Every Service must be compared: after a start, and when facts about the node changed.
    all: bool,
    /// Services that changed since they were last planned, or that did not fit.
    changed: BTreeSet<NamespacedName>,
    /// Services that did not fit, and why.
    refused: BTreeMap<NamespacedName, PlanError>,
    /// What cannot be served as its owner wrote it.
    problems: BTreeMap<NamespacedName, Vec<Problem>>,
    /// Freed by earlier plans, and when programs can no longer see it.
    quarantine: VecDeque<(Instant, Generation)>,
    /// Something was freed that another plan can use.
    released: bool,
    /// Not before: another agent may have written a moment ago.
    not_before: Instant,
    retry: Backoff,
    failure: Option<String>,
    failures: u64,
}

impl<F: IpFamily> ServiceTables<F> {
    /// Adopts what the tables hold.
    pub(super) fn restore(tables: &mut impl Tables<F>, now: Instant) -> Result<Self, Error> {
        let limits = tables.limits();
        let Contents {
            services,
            slots,
            backends,
        } = tables.contents()?;
        let not_before = if services.is_empty() { now } else { now + GRACE };
        let (planner, problems) = Planner::restore(limits, services, &slots, backends);
        for problem in &problems {
            warn!("restored tables: {problem}; it is written anew");
        }
        Ok(Self {
            planner,
            all: true,
            changed: BTreeSet::new(),
            refused: BTreeMap::new(),
            problems: BTreeMap::new(),
            quarantine: VecDeque::new(),
            released: false,
            not_before,
            retry: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            failure: None,
            failures: 0,
        })
    }

    /// These Services changed.
    pub(super) fn touch(&mut self, names: impl IntoIterator<Item = NamespacedName>) {
        self.changed.extend(names);
    }

    /// Every Service must be compared.
    pub(super) fn touch_all(&mut self) {
        self.all = true;
    }

    /// When there is something to do; none while there is not.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = self.all || self.released || self.changed.iter().any(|name| !self.refused.contains_key(name));
        let work = waits.then(|| {
            self.retry
                .until()
                .map_or(self.not_before, |until| until.max(self.not_before))
        });
        let release = self.quarantine.front().map(|&(when, _)| when);
        work.into_iter().chain(release).min()
    }

    /// Does what is due. An error is what the kernel said of the first write that failed; what was written before it
    /// stands, and the rest is tried again later.
    pub(super) fn sync(
        &mut self,
        index: &Index,
        facts: &NodeFacts,
        tables: &mut impl Tables<F>,
        now: Instant,
    ) -> Result<(), Error> {
        self.release(now);
        if self.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        let outcome = self.carry_out(index, facts, tables);
        if let Some(generation) = self.planner.seal() {
            self.quarantine.push_back((now + GRACE, generation));
        }
        match &outcome {
            Ok(()) => {
                self.retry.reset();
                self.failure = None;
            }
            Err(error) => {
                self.retry.failed(now);
                self.failure = Some(error.to_string());
                self.failures += 1;
            }
        }
        outcome
    }

    fn carry_out(&mut self, index: &Index, facts: &NodeFacts, tables: &mut impl Tables<F>) -> Result<(), Error> {
        let (scope, desired): (_, Vec<DesiredService<F>>) = if self.all {
            (Scope::All, index.desired(facts))
        } else {
            let changed = self.changed.iter().map(|name| index.service(name, facts)).collect();
            (Scope::Changed, changed)
        };
        let plan = self.planner.plan(scope, &desired);
        for op in &plan.ops {
            tables.apply(op)?;
            self.planner.record(op);
        }
        self.learn(scope, desired);
        self.refused = plan
            .errors
            .into_iter()
            .map(|error| (error.service().clone(), error))
            .collect();
        self.all = false;
        self.released = false;
        // What did not fit is tried again with the next plan: it can only fit once something else went.
        self.changed = self.refused.keys().cloned().collect();
        Ok(())
    }

    /// Remembers what is wrong with the Services that were looked at; says what is new.
    fn learn(&mut self, scope: Scope, desired: Vec<DesiredService<F>>) {
        if scope == Scope::All {
            let names: BTreeSet<_> = desired.iter().map(|service| &service.name).collect();
            self.problems.retain(|name, _| names.contains(name));
        }
        for DesiredService { name, problems, .. } in desired {
            let known = self.problems.get(&name).map_or(&[][..], Vec::as_slice);
            for problem in problems.iter().filter(|problem| !known.contains(problem)) {
                warn!("Service {name}: {problem}");
            }
            if problems.is_empty() {
                self.problems.remove(&name);
            } else {
                self.problems.insert(name, problems);
            }
        }
    }

    fn release(&mut self, now: Instant) {
        while let Some(&(when, generation)) = self.quarantine.front()
            && when <= now
        {
            self.quarantine.pop_front();
            self.planner.release(generation);
            self.released = true;
        }
    }

    /// Whether all that is wanted is in the tables.
    pub(super) fn is_complete(&self) -> bool {
        !self.all && self.changed.is_empty()
    }

    /// Services that could not be programmed and are tried again.
    pub(super) fn pending(&self) -> usize {
        self.changed.len()
    }

    /// Frontends and backends in the tables.
    pub(super) fn counts(&self) -> (u32, u32) {
        let usage = self.planner.programmed().usage();
        (usage.services, usage.backends)
    }

    /// What the kernel said of the last write, while writes fail.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Writes that the kernel refused.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Services that do not fit.
    pub(super) fn refused(&self) -> impl Iterator<Item = &PlanError> {
        self.refused.values()
    }

    /// Services that cannot be served as their owners wrote them.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values().flatten()
    }
}
