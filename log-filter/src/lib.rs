//! Log lines of the operator and of the agents: which are written, in which form, and how that is changed while they run.
//!
//! A [`LogFilter`] is what a user gives. A [`Program`] starts the lines with one, and has [`Levels`] from then on.

mod filter;
mod levels;
mod program;

pub use filter::{FilterError, LogFilter};
pub use levels::{Gone, Levels, LevelsLayer};
pub use program::{LogFormat, Program, StartError};
pub use tracing_subscriber::filter::LevelFilter;
