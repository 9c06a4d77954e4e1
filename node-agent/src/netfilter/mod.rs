//! The kernel's netfilter, as far as kpr has to do with it: connections that it translates, and rules of kube-proxy.
//!
//! kpr reads which flows are netfilter's, so as to leave them alone, and gives netfilter those that it serves itself when it goes.
//! It adds no rule to what it finds, but for one that keeps source ports apart ([`masquerade`]), and takes none away but those
//! that a kube-proxy has left, when it is told to ([`crate::takeover`]).

mod conntrack;
mod expression;
pub mod ip_set;
pub mod link;
pub mod listing;
pub mod masquerade;
mod message;
pub mod nf_tables;
mod rule;
mod rules;
pub mod xtables;

pub use conntrack::{Connection, Conntrack, Nat, Tuple};
pub use rule::{NotUnderstood, Rule, Source, address};
pub use rules::{Found, rules};

/// Why the kernel was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct Error {
    what: &'static str,
    #[source]
    source: std::io::Error,
}

impl Error {
    /// The kernel's own word for it.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}
