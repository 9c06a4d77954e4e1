//! Ctrl-C and SIGTERM: remembered here, acted on by whoever waits for a child (see `process`).

use std::{
    fmt,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static LAST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The user or the CI system asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

extern "C" fn remember(signal: i32) {
    LAST.store(signal, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Start to remember signals instead of dying of them.
pub(crate) fn install() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(remember), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to atomics, which is async-signal-safe.
        let before = unsafe { sigaction(signal, &action) }.with_context(|| format!("cannot handle {signal}"))?;
        if signal == Signal::SIGHUP && matches!(before.handler(), SigHandler::SigIgn) {
            // Under nohup: the end of the terminal is no reason to stop.
            // SAFETY: this restores what was there.
            unsafe { sigaction(signal, &before) }.with_context(|| format!("cannot ignore {signal}"))?;
        }
    }
    Ok(())
}

/// How many signals have arrived, and the last of them.
pub(crate) fn seen() -> (usize, Option<Signal>) {
    let count = COUNT.load(Ordering::SeqCst);
    (count, Signal::try_from(LAST.load(Ordering::SeqCst)).ok())
}

/// An error once a signal has arrived.
pub(crate) fn check() -> Result<()> {
    if seen().0 == 0 { Ok(()) } else { Err(Interrupted.into()) }
}
