//! The loop that joins the parts: changes from the API server and from the kernel in, map operations out.
//!
//! * [`Core`] holds the state and makes the decisions; it has no clock and no task.
//! * [`run`] feeds it and publishes a [`Snapshot`] after every step.
//! * [`Loader`], [`Datapath`] and [`Tables`] are what it needs of the kernel side.

mod acceleration;
mod backoff;
mod core;
mod details;
mod devices;
mod exhaustion;
mod latency;
mod node_addresses;
mod pod_devices;
mod programmer;
mod progress;
mod run;
mod services;
mod settings;
mod snapshot;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use self::core::Core;
pub use acceleration::{Outcome, outcome};
pub use details::details;
pub use devices::{Placement, PlacementError};
pub use node_addresses::NodeAddresses;
pub use pod_devices::PodReason;
pub use programmer::{Datapath, KernelLoader, Loader, Tables};
pub use progress::Progress;
pub use run::{GATHER, Inputs, run};
pub use services::{CountedPort, CountedPorts, GRACE};
pub use settings::{CAPABILITIES, ConfigError};
pub use snapshot::{Applied, LoadTrouble, Object, Snapshot, Troubles};
pub use view::View;
