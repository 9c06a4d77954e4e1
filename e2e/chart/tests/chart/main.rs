//! What the chart renders, value by value, with the real helm.

mod agents;
mod combinations;
mod custom_resource;
mod hooks;
mod notes;
mod operators;
mod policy;
mod rights;
mod schema;
mod used;
