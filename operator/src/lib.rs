//! The operator of kpr: `KubeProxyReplacement` -> one `NodeDatapath` per node -> conditions.
//!
//! Decisions are pure: [`claims`] (which object a node belongs to), [`rollout`] (which nodes may change now), [`render`]
//! (what a node gets), [`drain`] (when a node is done with its removal), [`kube_proxy`] (how it goes and comes back), [`status`] (what the user is told) and
//! [`decide`], which joins them. [`controller`] watches, asks `decide`, and writes; it is the only part with I/O besides
//! [`lease`], which makes sure that one operator writes at a time.

pub mod claims;
pub mod connect;
pub mod controller;
pub mod decide;
pub mod drain;
pub mod election;
pub mod kube_proxy;
pub mod lease;
pub mod log_file;
pub mod logging;
pub mod node;
pub mod notice;
pub mod once;
pub mod options;
pub mod render;
pub mod rollout;
pub mod run;
pub mod status;

pub use options::Options;
pub use run::{Error, Settings, run};
