//! Forgets flows that have been idle for too long, at a pace that follows what it finds.
//!
//! ```text
//! core ── Control: on, off, hurry ──► thread ── FlowTable::sweep ──► Findings ──► core: status, exhaustion
//!                                        └── Pace: when next
//! ```
//!
//! * [`Pace`] decides, without a clock, how long to wait until the next sweep.
//! * [`Control`] is what the core tells the thread, and what the thread has to report.
//! * [`spawn`] starts the thread. A sweep of a large table takes a while, and the core has more urgent work.

mod control;
mod pace;
mod thread;

pub use control::{Control, Findings};
pub use pace::Pace;
pub use thread::{Sweeper, spawn};
