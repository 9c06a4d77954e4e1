//! What the agent shows of itself: the list of background tasks, and the local HTTP API on a unix socket.

pub mod api;
mod client;
mod listen;
mod names;
mod run_dir;
mod server;
mod stream;
mod tasks;

#[cfg(test)]
mod tests;

pub use client::{ClientError, get_frontends, get_log, get_pod, get_status, set_log};
pub use listen::{Lines, listen};
pub use names::{NameQuestion, Names, names};
pub use run_dir::{RunDir, RunDirError, SOCKET};
pub use server::{Answers, Health, Source, serve};
pub use tasks::{Task, TaskStatus, Tasks};
