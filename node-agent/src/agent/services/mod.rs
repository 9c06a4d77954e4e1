//! Brings the tables of all address families to what the model asks for.

mod counted;
mod family;
mod problems;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kpr_abi::{V4, V6};
use tokio::time::Instant;

pub use self::counted::{CountedPort, CountedPorts};
use self::{
    counted::Counted,
    family::{Programs, ServiceTables},
    problems::Problems,
};
use super::{Datapath, Progress};
use crate::{
    datapath::{Error, Report},
    metrics::Syncs,
    model::{Index, NamespacedName, NodeFacts, Problem, Protocol},
};

/// How long freed slots wait for programs that looked a service up just before it changed. Programs run for
/// microseconds, and the kernel's own grace periods end within tens of milliseconds: this is generous.
pub const GRACE: Duration = Duration::from_secs(1);

/// The tables of each address family. A family that is in trouble does not hold up the other.
pub(super) struct DualStack<D> {
    families: [Box<dyn Programs<D>>; 2],
    about: About,
}

/// What is known of Services beside their tables, whichever family it is found in.
#[derive(Debug, Default)]
struct About {
    problems: Problems,
    counted: Counted,
}

impl<D: Datapath> DualStack<D> {
    /// Adopts what the tables hold.
    pub(super) fn restore(datapath: &mut D, now: Instant) -> Result<Self, Error> {
        Ok(Self {
            families: [
                Box::new(ServiceTables::<V4>::restore(datapath, now)?),
                Box::new(ServiceTables::<V6>::restore(datapath, now)?),
            ],
            about: About::default(),
        })
    }

    /// Counts at most so many Service ports from now on; none: nothing.
    pub(super) fn limit_counted(&mut self, limit: Option<usize>, datapath: &D) {
        if self.about.counted.limit(limit, || datapath.counted_services()) {
            self.touch_all();
        }
    }

    /// Has programs count what is to be counted by now. What fails is tried again with the next call.
    pub(super) fn count(&mut self, datapath: &mut D) -> Result<(), Error> {
        let Some(chosen) = self.about.counted.choose() else {
            return Ok(());
        };
        let outcome = datapath.count_services(&chosen.frontends());
        if outcome.is_err() {
            self.about.counted.try_again();
        }
        outcome
    }
}

impl<D> DualStack<D> {
    /// Lets a datapath that replaces another one learn what is in the tables.
    pub(super) fn show(&self, datapath: &mut D) -> Result<(), Error> {
        self.families.iter().try_for_each(|family| family.show(datapath))
    }

    /// These Services changed.
    pub(super) fn touch(&mut self, names: &BTreeSet<NamespacedName>) {
        self.families.iter_mut().for_each(|family| family.touch(names));
    }

    /// Every Service must be compared.
    pub(super) fn touch_all(&mut self) {
        self.families.iter_mut().for_each(|family| family.touch_all());
    }

    /// When there is something to do; none while there is not.
    pub(super) fn due(&self) -> Option<Instant> {
        self.families.iter().filter_map(|family| family.due()).min()
    }

    /// Does what is due in each family, and returns the first error.
    pub(super) fn sync(
        &mut self,
        index: &Index,
        facts: &NodeFacts,
        datapath: &mut D,
        syncs: &Syncs,
        now: Instant,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        for family in &mut self.families {
            outcome = outcome.and(family.sync(index, facts, datapath, &mut self.about, syncs, now));
        }
        outcome
    }

    /// Compares the tables with what was written to them, and returns a sentence for each family in which they differ. What is
    /// wrong is written anew by the next sync.
    pub(super) fn check(&mut self, datapath: &mut D, now: Instant) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for family in &mut self.families {
            found.extend(family.check(datapath, now)?);
        }
        Ok(found)
    }

    /// How each family keeps up.
    pub(super) fn progress(&self) -> impl Iterator<Item = Progress> {
        self.families.iter().map(|family| family.progress())
    }

    /// Whether all that is wanted is in the tables.
    pub(super) fn is_complete(&self) -> bool {
        self.families.iter().all(|family| family.is_complete())
    }

    /// Whether a frontend in the tables asks for source ranges.
    pub(super) fn has_source_ranges(&self) -> bool {
        self.families.iter().any(|family| family.has_source_ranges())
    }

    /// How many Services could not be programmed, in one family or both, and are tried again.
    pub(super) fn pending(&self) -> usize {
        let pending = self.families.iter().flat_map(|family| family.pending());
        pending.collect::<BTreeSet<_>>().len()
    }

    /// Frontends and backends in the tables.
    pub(super) fn counts(&self) -> (u32, u32) {
        let counts = self.families.iter().map(|family| family.counts());
        counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }

    /// Slots in use, Maglev tables included.
    pub(super) fn slots(&self) -> u32 {
        self.families.iter().map(|family| family.slots()).sum()
    }

    /// Adds how full the tables are to the datapath's report.
    pub(super) fn report(&self, report: &mut Report) {
        self.families.iter().for_each(|family| family.report(report));
    }

    /// Whether a frontend of this protocol is in the tables.
    pub(super) fn has(&self, protocol: Protocol) -> bool {
        self.families.iter().any(|family| family.has(protocol))
    }

    /// What the kernel said of the last write, while writes fail.
    pub(super) fn failure(&self) -> Option<&str> {
        self.families.iter().find_map(|family| family.failure())
    }

    /// Writes that the kernel refused.
    pub(super) fn failures(&self) -> u64 {
        self.families.iter().map(|family| family.failures()).sum()
    }

    /// A sentence about Services that do not fit; none if all do.
    pub(super) fn full(&self) -> Option<String> {
        let mut refused = BTreeMap::new();
        for family in &self.families {
            for (service, error) in family.refused() {
                refused.entry(service).or_insert((family.name(), error));
            }
        }
        let (family, error) = refused.values().next()?;
        Some(match refused.len() - 1 {
            0 => format!("{family}: {error}"),
            others => format!("{family}: {error} (and {others} more Services do not fit)"),
        })
    }

    /// What is counted; none if nothing is to be.
    pub(super) fn counted(&self) -> Option<Arc<CountedPorts>> {
        self.about.counted.chosen()
    }

    /// Services that cannot be served as their owners wrote them.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.about.problems.iter()
    }
}
