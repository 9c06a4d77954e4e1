//! The Helm chart as helm sees it.
//!
//! helm is the one on PATH, or the one in `target/tools/bin` that `cargo xtask setup` builds.

mod helm;
mod rendered;

pub use helm::{Helm, Output};
pub use rendered::Rendered;
