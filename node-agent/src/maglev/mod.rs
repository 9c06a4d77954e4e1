//! Maglev's consistent hashing: which backend each slot of a table leads to (Eisenbud et al., "Maglev: A Fast and Reliable Software
//! Network Load Balancer", NSDI 2016, §3.4).
//!
//! A flow's hash names a slot. All nodes fill equal tables from equal backends, so wherever a packet arrives it goes to the same
//! backend; and when a backend comes or goes, few slots change but its own, so flows that no node remembers stay where they are.

mod fill;
mod member;

#[cfg(test)]
mod tests;

pub use fill::fill;
pub use member::Member;
