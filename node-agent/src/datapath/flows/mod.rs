//! Ages the flows of the packet path, and shows them. Which entries may go is pure ([`age`]); the kernel's table is LRU, so a late sweep
//! costs room and source ports, not correctness.

mod age;
mod list;
mod loads;
mod state;
mod sweep;
mod timeouts;

pub use list::{Flow, FlowList, Path};
pub use state::FlowState;
pub use sweep::{FlowTable, SnatUse, Sweep, flow_clock};
pub use timeouts::Timeouts;
