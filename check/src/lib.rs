//! Both ends of a connectivity check: a server that says who it is and whom it sees, and a client that asks it through a Service and counts
//! who answered.
//!
//! In the cluster both are hidden commands of `kpr`, so that the agent's image is all that a check needs; outside, `kubectl kpr` asks itself.

mod ask;
mod greeting;
mod question;
mod serve;

pub use ask::{ask, ask_all};
pub use greeting::Greeting;
pub use question::{Answers, Protocol, Question};
pub use serve::Server;
