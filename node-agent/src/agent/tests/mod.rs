//! The agent on a kernel of tables in memory: what is there, what it is told, what is in the tables then.

mod checking;
mod configuration;
mod counting;
mod dsr;
mod dual_stack;
mod exhaustion;
pub(crate) mod fake;
mod gathering;
mod health;
mod listening;
mod peers;
mod placing;
mod pods;
mod programming;
pub(crate) mod rig;
mod stale_sockets;
