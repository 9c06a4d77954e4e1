//! From desired frontends to map writes that are safe at every prefix.
//!
//! * [`Planner`] knows what the maps hold ([`Programmed`]) and which Service wants what.
//! * [`Planner::plan`] compares that with what the model asks for, and returns [`Op`]s: first backends, slots and source
//!   ranges, then the services that name them (one write publishes a service's change), then deletions.
//! * [`Planner::record`] is told of every op that was carried out. A failed write is simply not recorded: the next plan
//!   starts from what the maps really hold.
//! * A slot run that no service names any more may still be read by a program that looked the service up just before.
//!   It is kept as it is until the caller has waited for such programs to end: [`Planner::seal`], wait for a grace
//!   period, [`Planner::release`], plan again. Only then the slots, and backends that no run names, are free.
//!
//! Source ranges of a service that asks for none any more are kept as long, for the same programs. A range that is
//! exchanged for another goes at once: whoever is in neither is never let in, whoever is in both never refused.
//!
//! Runs are immutable: a change of a list of backends is a fresh run and one switch. Equal lists share a run. A Maglev table is part of
//! its list's run; where there is no room for it, the service goes on with the list alone, and the plan says so.
//!
//! ```text
//! loop {
//!     let plan = planner.plan(Scope::Changed, &changed);
//!     for op in &plan.ops { apply(op)?; planner.record(op); }
//!     if let Some(generation) = planner.seal() { grace_period(); planner.release(generation); }
//! }
//! ```

mod backends;
mod diff;
mod draft;
mod extents;
mod ids;
mod op;
mod planner;
mod programmed;
mod ranges;
mod restore;
mod runs;
mod slot_run;

#[cfg(test)]
mod tests;

pub use op::{AdmittedRange, Limits, Op, Plan, PlanError};
pub use planner::{Generation, Planner, Scope};
pub use programmed::{Difference, Programmed, Usage, WithoutLocal};
pub use restore::RestoreProblem;
pub use slot_run::SlotRun;
