//! `NodeDatapath.status`: what this node's agent tells the operator.
//!
//! * [`observations`] and [`build`] are pure: from the agent's snapshot to conditions and counts.
//! * [`write()`] is the only writer: one server-side apply when something changed, and not too often.
//! * [`Events`] are told when something begins to go wrong with traffic.
//! * [`kube_proxy`] finds out whether kube-proxy runs.

mod build;
mod conditions;
mod events;
pub mod kube_proxy;
mod write;

#[cfg(test)]
mod tests;

pub use build::{Agent, build};
pub use conditions::observations;
pub use events::Events;
pub use kube_proxy::KubeProxy;
pub use write::{ApiSink, Sink, SinkError, write};
