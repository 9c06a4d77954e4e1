//! What a kube-proxy leaves on a node when it goes: chains of iptables, tables of nftables, sets, a device.
//!
//! * [`names`]: what is kube-proxy's, as `kube-proxy --cleanup` has it.
//! * [`plan()`]: which rules and chains of a table go. Pure, and the same for either kind of iptables.
//! * [`remove`]: takes them away, with the kernel's own interfaces: no program has to be on the node.
//!
//! Connections that kube-proxy's rules have translated go on: their translation is in netfilter's connection table, which nothing
//! here touches.

pub mod names;
mod plan;
mod remove;
mod report;

pub use plan::{Chain, Kept, Plan, Rule, plan};
pub use remove::remove;
pub use report::Cleared;
