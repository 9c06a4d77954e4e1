//! What load balancers, autoscalers and probes ask of a node, answered as kube-proxy answers it.
//!
//! | where | what |
//! |---|---|
//! | `spec.healthCheckNodePort` of a Service | whether this node has an endpoint of it ([`serve_checks`]) |
//! | `:10256/healthz` | whether new connections may come to this node (KEP-3836) |
//! | `:10256/livez` | whether changes are programmed as they come |
//! | `127.0.0.1:10249/proxyMode` | who serves the Services of this node |
//!
//! Decisions and answers are pure: [`ProxyHealth`], [`node_eligible`], [`Answer`] and [`listeners`] take what they look at
//! and the time as arguments. [`serve_at`] and [`serve_checks`] open the ports, and close them when the datapath is removed:
//! a kube-proxy that comes back finds them free.

mod answer;
mod checks;
mod eligible;
mod events;
mod fixed;
mod listeners;
mod moment;
mod proxy;
mod server;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use checks::serve_checks;
pub use eligible::node_eligible;
pub use events::{Events, Failure};
pub use fixed::{metrics, proxy_health, serve_at};
pub use listeners::{Listener, listeners};
pub use moment::Moment;
pub use proxy::{FamilyHealth, HEALTH_TIMEOUT, ProxyHealth};
pub use server::{Handler, Server};

/// What `/proxyMode` says. kube-proxy says "iptables", "ipvs" or "nftables".
pub const MODE: &str = "kpr";
