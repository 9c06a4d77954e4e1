//! Brings the tables of one address family to what the model asks for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::{
    super::{Progress, Tables, backoff::Backoff},
    About, GRACE,
};
use crate::{
    datapath::{
        Contents, Error, Report,
        fill::{BACKENDS, FRONTENDS, SLOTS, SOURCE_RANGES},
    },
    metrics::Syncs,
    model::{DesiredService, Index, IpFamily, NamespacedName, NodeFacts, Protocol},
    plan::{Generation, Op, PlanError, Planner, Scope},
};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// The tables of whichever family, in a datapath of type `D`.
pub(super) trait Programs<D>: Send {
    /// The family, as Kubernetes writes it.
    fn name(&self) -> &'static str;

    /// Lets a datapath that replaces another one learn what is in the tables.
    fn show(&self, datapath: &mut D) -> Result<(), Error>;

    /// These Services changed.
    fn touch(&mut self, names: &BTreeSet<NamespacedName>);

    /// Every Service must be compared.
    fn touch_all(&mut self);

    /// When there is something to do; none while there is not.
    fn due(&self) -> Option<Instant>;

    /// Does what is due. An error is what the kernel said of the first write that failed; what was written before it
    /// stands, and the rest is tried again later.
    fn sync(
        &mut self,
        index: &Index,
        facts: &NodeFacts,
        datapath: &mut D,
        about: &mut About,
        syncs: &Syncs,
        now: Instant,
    ) -> Result<(), Error>;

    /// Compares the tables with what was written to them. If they differ, adopts what they hold, so that the next sync writes the
    /// difference, and returns a sentence about it.
    fn check(&mut self, datapath: &mut D, now: Instant) -> Result<Option<String>, Error>;

    /// How the family keeps up.
    fn progress(&self) -> Progress;

    /// Whether all that is wanted is in the tables, but for Maglev tables that don't fit.
    fn is_complete(&self) -> bool;

    /// Whether a frontend in the tables asks for source ranges.
    fn has_source_ranges(&self) -> bool;

    /// Services that could not be programmed and are tried again.
    fn pending(&self) -> &BTreeSet<NamespacedName>;

    /// Frontends and backends in the tables.
    fn counts(&self) -> (u32, u32);

    /// Slots in use.
    fn slots(&self) -> u32;

    /// Adds how full the tables are.
    fn report(&self, report: &mut Report);

    /// Whether a frontend of this protocol is in the tables.
    fn has(&self, protocol: Protocol) -> bool;

    /// What the kernel said of the last write, while writes fail.
    fn failure(&self) -> Option<&str>;

    /// Writes that the kernel refused.
    fn failures(&self) -> u64;

    /// Services that do not fit, and why.
    fn refused(&self) -> &BTreeMap<NamespacedName, PlanError>;
}

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
    /// Freed by earlier plans, and when programs can no longer see it.
    quarantine: VecDeque<(Instant, Generation)>,
    /// What is freed before then waits for it, unless somebody waits for room: clearing the tables for many changes at once disturbs the next
    /// change less often than clearing them for each.
    release_from: Instant,
    /// Something was freed that another plan can use.
    released: bool,
    /// Not before: another agent may have written a moment ago.
    not_before: Instant,
    retry: Backoff,
    failure: Option<String>,
    failures: u64,
    progress: Progress,
}

impl<F: IpFamily> ServiceTables<F> {
    /// Adopts what the tables hold.
    pub(super) fn restore(tables: &mut impl Tables<F>, now: Instant) -> Result<Self, Error> {
        let limits = tables.limits();
        let Contents {
            services,
            slots,
            backends,
            source_ranges,
        } = tables.contents()?;
        let not_before = if services.is_empty() { now } else { now + GRACE };
        let (planner, problems) = Planner::restore(limits, services, &slots, backends, source_ranges);
        for problem in &problems {
            warn!("restored {} tables: {problem}; it is written anew", F::NAME);
        }
        Ok(Self {
            planner,
            all: true,
            changed: BTreeSet::new(),
            refused: BTreeMap::new(),
            quarantine: VecDeque::new(),
            release_from: now,
            released: false,
            not_before,
            retry: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            failure: None,
            failures: 0,
            progress: Progress::new(F::NAME),
        })
    }

    fn carry_out(
        &mut self,
        index: &Index,
        facts: &NodeFacts,
        tables: &mut impl Tables<F>,
        about: &mut About,
    ) -> Result<(), Error> {
        let (scope, desired): (_, Vec<DesiredService<F>>) = if self.all {
            (Scope::All, index.desired(facts))
        } else {
            let changed = self.changed.iter().map(|name| index.service(name, facts)).collect();
            (Scope::Changed, changed)
        };
        let plan = self.planner.plan(scope, &desired);
        self.write(&plan.ops, tables)?;
        let gone = self.planner.gone();
        self.write(&gone, tables)?;
        about.counted.learn(scope, &desired);
        about.problems.learn(
            F::NAME,
            scope,
            desired.into_iter().map(|service| (service.name, service.problems)),
        );
        // Room for what did not fit: it is tried again at once.
        let freed = plan.frees() && !plan.errors.is_empty();
        self.refused = plan
            .errors
            .into_iter()
            .map(|error| (error.service().clone(), error))
            .collect();
        self.all = false;
        self.released = freed;
        // What did not fit is tried again with the next plan: it can only fit once something else went.
        self.changed = self.refused.keys().cloned().collect();
        Ok(())
    }

    fn write(&mut self, ops: &[Op<F>], tables: &mut impl Tables<F>) -> Result<(), Error> {
        let (done, result) = tables.apply(ops);
        ops.iter().take(done).for_each(|op| self.planner.record(op));
        result
    }

    fn release(&mut self, now: Instant) {
        if self.release_due().is_none_or(|due| due > now) {
            return;
        }
        self.release_from = now + GRACE;
        while let Some(&(when, generation)) = self.quarantine.front()
            && when <= now
        {
            self.quarantine.pop_front();
            self.planner.release(generation);
            self.released = true;
        }
    }

    fn due(&self) -> Option<Instant> {
        let waits = self.all || self.released || self.changed.iter().any(|name| !self.refused.contains_key(name));
        let work = waits.then(|| {
            self.retry
                .until()
                .map_or(self.not_before, |until| until.max(self.not_before))
        });
        work.into_iter().chain(self.release_due()).min()
    }

    /// When what was freed can be used again.
    fn release_due(&self) -> Option<Instant> {
        let &(when, _) = self.quarantine.front()?;
        Some(if self.refused.is_empty() {
            when.max(self.release_from)
        } else {
            when
        })
    }
}

impl<F: IpFamily, D: Tables<F>> Programs<D> for ServiceTables<F>
where
    Self: Send,
{
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn show(&self, datapath: &mut D) -> Result<(), Error> {
        datapath.contents().map(drop)
    }

    fn touch(&mut self, names: &BTreeSet<NamespacedName>) {
        self.changed.extend(names.iter().cloned());
    }

    fn touch_all(&mut self) {
        self.all = true;
    }

    fn due(&self) -> Option<Instant> {
        self.due()
    }

    fn sync(
        &mut self,
        index: &Index,
        facts: &NodeFacts,
        datapath: &mut D,
        about: &mut About,
        syncs: &Syncs,
        now: Instant,
    ) -> Result<(), Error> {
        self.release(now);
        if self.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.progress.begin(now);
        let started = Instant::now();
        let outcome = self.carry_out(index, facts, datapath, about);
        syncs.took(self.progress.family, started.elapsed());
        if let Some(generation) = self.planner.seal() {
            self.quarantine.push_back((now + GRACE, generation));
        }
        match &outcome {
            Ok(()) => {
                self.retry.reset();
                self.failure = None;
                self.progress.succeeded(now);
            }
            Err(error) => {
                self.retry.failed(now);
                self.failure = Some(error.to_string());
                self.failures += 1;
            }
        }
        outcome
    }

    fn check(&mut self, datapath: &mut D, now: Instant) -> Result<Option<String>, Error> {
        let limits = datapath.limits();
        let Contents {
            services,
            slots,
            backends,
            source_ranges,
        } = datapath.contents()?;
        let programmed = self.planner.programmed();
        if programmed.is_found_in(&services, &slots, &backends, &source_ranges) {
            return Ok(None);
        }
        let (found, _problems) = Planner::restore(limits, services, &slots, backends, source_ranges);
        let difference = self.planner.programmed().difference(found.programmed());
        if difference.is_none() {
            return Ok(None);
        }
        self.planner = found;
        self.all = true;
        self.released = false;
        // What waited for its last readers counts as free now; their time is over before anything is written there.
        self.quarantine.clear();
        self.not_before = now + GRACE;
        Ok(Some(format!("{} frontends: {difference}", F::NAME)))
    }

    fn progress(&self) -> Progress {
        Progress {
            without_local: self.planner.programmed().without_local(),
            ..self.progress
        }
    }

    fn is_complete(&self) -> bool {
        let is_served = |name: &NamespacedName| self.refused.get(name).is_some_and(PlanError::is_served);
        !self.all && self.changed.iter().all(is_served)
    }

    fn has_source_ranges(&self) -> bool {
        self.planner.programmed().has_source_ranges()
    }

    fn pending(&self) -> &BTreeSet<NamespacedName> {
        &self.changed
    }

    fn counts(&self) -> (u32, u32) {
        let usage = self.planner.programmed().usage();
        (usage.services, usage.backends)
    }

    fn slots(&self) -> u32 {
        self.planner.programmed().usage().slots
    }

    fn report(&self, report: &mut Report) {
        let usage = self.planner.programmed().usage();
        let rows = [
            (FRONTENDS, usage.services),
            (SLOTS, usage.slots),
            (BACKENDS, usage.backends),
            (SOURCE_RANGES, usage.source_ranges),
        ];
        for (what, entries) in rows {
            report.used(F::NAME, what, entries);
        }
    }

    fn has(&self, protocol: Protocol) -> bool {
        self.planner.programmed().has(protocol.number())
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn failures(&self) -> u64 {
        self.failures
    }

    fn refused(&self) -> &BTreeMap<NamespacedName, PlanError> {
        &self.refused
    }
}
