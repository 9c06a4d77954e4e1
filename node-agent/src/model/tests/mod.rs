//! The rules, each as a table: what is there, what is asked for.
//!
//! Names of tests are the rules of kube-proxy and of the KEPs.

mod affinity_and_ranges;
mod conflicts;
mod dual_stack;
mod endpoints;
pub(crate) mod fixtures;
mod health_checks;
mod history;
mod host_ports;
mod kinds;
mod owners;
mod policy;
mod topology;
