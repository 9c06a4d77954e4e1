//! What the agent shows of itself: the list of background tasks, and the local HTTP API on a unix socket.

pub mod api;
mod client;
mod run_dir;
mod server;
mod stream;
mod tasks;

#[cfg(test)]
mod tests;

pub use client::{ClientError, Lines, get_status, listen};
pub use run_dir::{RunDir, RunDirError, SOCKET};
pub use server::{Health, Source, serve};
pub use tasks::{Task, TaskStatus, Tasks};
