//! Telling what happens, to whoever listens ([`kpr_abi::event`]).
//!
//! It is an object of its own that tells (feature `events`): in the one that a node runs while nobody listens, the functions called here are
//! empty, and its programs are, instruction by instruction, what they would be without these calls.

#[cfg(not(feature = "events"))]
mod off;
#[cfg(feature = "events")]
mod on;

#[cfg(not(feature = "events"))]
pub use off::*;
#[cfg(feature = "events")]
pub use on::*;
