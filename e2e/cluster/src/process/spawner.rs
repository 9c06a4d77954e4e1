//! One thread that starts every child.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and threads of a runtime's pool come and go. This one
//! lives as long as the process, so children die with the process and not before.

use std::{io, sync::OnceLock, thread};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    process::{Child, Command},
    runtime::{Builder, Handle},
    sync::oneshot,
};

static SPAWNER: OnceLock<io::Result<Handle>> = OnceLock::new();

/// Starts `command` on the thread that lives as long as the process.
pub(super) async fn spawn(mut command: Command) -> Result<Child> {
    let handle = SPAWNER
        .get_or_init(start)
        .as_ref()
        .map_err(|error| anyhow!("start the spawner: {error}"))?;
    let (reply, child) = oneshot::channel();
    handle.spawn(async move {
        let permit = crate::interrupt::permit();
        let child = command.spawn();
        drop(permit);
        // The caller may have been cancelled; the child then dies with `kill_on_drop`.
        let _ = reply.send(child);
    });
    Ok(child.await.context("the spawner ended")??)
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
