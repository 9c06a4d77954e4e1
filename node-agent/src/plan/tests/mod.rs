//! Tests of plans: single steps, histories with failures and restarts against simulated maps, and size.

mod capacity;
mod fixtures;
mod histories;
mod maglev;
mod restoring;
mod scale;
mod simulator;
mod source_ranges;
mod steps;
