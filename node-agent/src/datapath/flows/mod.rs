//! Ages the flows of the packet path. Which entries may go is pure ([`age`]); the kernel's table is LRU, so a late sweep costs room
//! and source ports, not correctness.

mod age;
mod loads;
mod sweep;
mod timeouts;

pub use sweep::{FlowTable, SnatUse, Sweep, flow_clock};
pub use timeouts::Timeouts;
