//! Kubernetes' Service semantics: from Service and EndpointSlice objects to the frontends and backends that this node
//! shall serve.
//!
//! ```text
//! input            index                    build
//! (parse once) ->  (what is known,      ->  (rules: which frontends, which backends)
//!                   what became dirty)
//! ```
//!
//! Everything here is pure: no I/O, no clock, no maps. Rules are those of kube-proxy and of the KEPs named beside them;
//! code is generic over the address family, so that a rule exists once.

mod addresses;
mod build;
mod claims;
mod destinations;
mod endpoints;
mod family;
mod few;
mod frontend;
mod health_check;
mod host_ports;
mod index;
pub mod input;
mod name;
mod node;
mod owner;
mod pool;
mod problem;
mod protocol;
mod traffic;

#[cfg(test)]
pub(crate) mod tests;

pub use family::IpFamily;
pub use frontend::{Backend, DesiredService, Frontend, Kind};
pub use health_check::HealthCheck;
pub use index::Index;
pub use name::{NamespacedName, ServicePortName};
pub use node::{Capabilities, Kinds, NodeFacts};
pub use owner::Owner;
pub use problem::{Problem, ProblemKind};
pub use protocol::Protocol;
