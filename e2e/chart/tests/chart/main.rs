//! What the chart renders, value by value, with the real helm.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, in its helpers as in itself"
)]

mod agents;
mod combinations;
mod custom_resource;
mod hooks;
mod monitoring;
mod notes;
mod operators;
mod policy;
mod rights;
mod schema;
mod used;
