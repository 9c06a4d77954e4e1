//! The plan module's public face.

use kpr_abi::{BackendValue, Family, ServiceKey, ServiceValue};

use super::{
    AdmittedRange, Limits, Op, Plan, Programmed, RestoreProblem,
    diff::{self, Owners},
    restore,
};
use crate::model::{DesiredService, IpFamily};

/// Plans the writes to the maps of one family, and keeps track of what was written.
#[derive(Clone, Debug)]
pub struct Planner<F: Family> {
    programmed: Programmed<F>,
    owners: Owners<F>,
    released: Option<Generation>,
}

/// What a list of desired Services stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Services that changed; the others stay as they are.
    Changed,
    /// Every Service there is: what the maps hold beside them is deleted. The first plan after a restart must be one,
    /// and must wait until all objects have been listed.
    All,
}

/// A period between two calls of [`Planner::seal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub(super) u64);

impl<F: IpFamily> Planner<F> {
    /// The maps are empty.
    pub fn new(limits: Limits) -> Self {
        Self::with(Programmed::new(limits))
    }

    /// The maps hold what an agent before this one wrote. `slots` is the whole slot table, and `backends` may list
    /// unused (zero) entries. What contradicts itself is reported, and rewritten by the first plan.
    ///
    /// Nothing may change the maps between reading them and here. Slots that no service leads to count as free, so the
    /// caller waits for a grace period first if the agent before this one may have written a moment ago.
    pub fn restore(
        limits: Limits,
        services: impl IntoIterator<Item = (ServiceKey<F::Addr>, ServiceValue)>,
        slots: &[u32],
        backends: impl IntoIterator<Item = (u32, BackendValue<F::Addr>)>,
        source_ranges: impl IntoIterator<Item = AdmittedRange<F::Addr>>,
    ) -> (Self, Vec<RestoreProblem<F>>) {
        let (programmed, problems) = restore::restore(limits, services, slots, backends, source_ranges);
        (Self::with(programmed), problems)
    }

    fn with(programmed: Programmed<F>) -> Self {
        Self {
            programmed,
            owners: Owners::default(),
            released: None,
        }
    }

    /// What to write so that the maps hold what is desired. Carry the ops out in order, [`record`](Self::record) each,
    /// and stop at the first that fails; whatever was not done is found again by the next plan.
    pub fn plan(&mut self, scope: Scope, desired: &[DesiredService<F>]) -> Plan<F> {
        // Not in `release` itself: a plan that is being carried out may lead to slots in quarantine.
        if let Some(generation) = self.released.take() {
            self.programmed.release(generation);
        }
        diff::plan(&self.programmed, &mut self.owners, scope, desired)
    }

    /// An op of the last plan was carried out.
    pub fn record(&mut self, op: &Op<F>) {
        self.programmed.record(op);
        if let Op::DeleteService { key } = op {
            self.owners.forget(key);
        }
    }

    /// Backends that no service leads to any more, since the ops of the last plan were carried out: their flows of datagrams are to go on
    /// elsewhere at once, not only when the ids are free. To be carried out and [recorded](Self::record) as those of a plan.
    pub fn gone(&self) -> Vec<Op<F>> {
        let put = |(id, value)| Op::PutBackend { id, value };
        self.programmed.backends.gone().map(put).collect()
    }

    /// Ends a generation: what was freed in it, and before it, is free once a grace period that starts now is over.
    /// `None` if nothing was freed since the last call.
    pub fn seal(&mut self) -> Option<Generation> {
        let sealed = self.programmed.now;
        let waits = self.programmed.runs.waits_since(sealed) || self.programmed.ranges.waits_since(sealed);
        waits.then(|| {
            self.programmed.now = Generation(sealed.0 + 1);
            sealed
        })
    }

    /// A grace period has passed since `generation` was sealed. The next plan, even one without changes, makes use of
    /// it: it clears backends that nothing leads to any more, and what did not fit before may fit.
    pub fn release(&mut self, generation: Generation) {
        self.released = self.released.max(Some(generation));
    }

    /// What the maps hold.
    pub const fn programmed(&self) -> &Programmed<F> {
        &self.programmed
    }
}
