//! The Helm chart as helm sees it.
//!
//! helm and promtool are those on PATH, or those in `target/tools/bin` that `cargo xtask test --only chart` puts there.

mod helm;
mod promtool;
mod rendered;
mod tool;

pub use helm::{Helm, Output};
pub use promtool::test_rules;
pub use rendered::Rendered;
