//! Ctrl-C and SIGTERM: remove this process's clusters, then end it.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{id::ClusterId, teardown};

static CLUSTERS: Mutex<BTreeSet<ClusterId>> = Mutex::new(BTreeSet::new());
/// Held for reading by whoever makes something that a clean-up must find; for writing, and for ever, by the clean-up.
static ENDING: RwLock<()> = RwLock::new(());
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// Leave to make or remove something on the machine. Blocks for ever once an interrupt cleans up, so that nothing new
/// appears behind its back.
pub(crate) fn permit() -> RwLockReadGuard<'static, ()> {
    ENDING.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn register(id: &ClusterId) {
    clusters().insert(id.clone());
}

pub(crate) fn unregister(id: &ClusterId) {
    clusters().remove(id);
}

/// From now on an interrupt is the way the program is meant to end: its exit code is 0.
pub fn expect() {
    EXPECTED.store(true, Ordering::Relaxed);
}

/// Starts the thread that waits for signals, once per process. A handler works whichever thread the signal meets;
/// blocking the signals instead would miss the threads that exist already (libtest's, for one).
pub fn watch() -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| start().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn start() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).context("watch for SIGINT")?,
            signal(SignalKind::terminate()).context("watch for SIGTERM")?,
        )
    };
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            let code = runtime.block_on(first_of(interrupt, terminate));
            end(code)
        })?;
    Ok(())
}

async fn first_of(mut interrupt: Signal, mut terminate: Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => 128 + libc::SIGINT,
        _ = terminate.recv() => 128 + libc::SIGTERM,
    }
}

fn end(code: i32) -> ! {
    let _for_ever = ENDING.write().unwrap_or_else(PoisonError::into_inner);
    let clusters: Vec<ClusterId> = clusters().iter().cloned().collect();
    if !clusters.is_empty() {
        eprintln!("\nInterrupted: removing the test cluster.");
    }
    for id in clusters {
        if let Err(error) = teardown::remove(&id) {
            eprintln!("clean-up of cluster {id} failed: {error:#}");
        }
    }
    std::process::exit(if EXPECTED.load(Ordering::Relaxed) { 0 } else { code })
}

fn clusters() -> MutexGuard<'static, BTreeSet<ClusterId>> {
    CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner)
}
