//! Booting a guest and listening to it.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use super::jobs::{self, Job};
use crate::{console, process};

/// The file system is in it, too.
const MEMORY: &str = "2048";

/// What a guest's clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// The time that passes.
    Time,
    /// Its only processor: each instruction takes a nanosecond.
    Instructions,
}

/// Boots `vmlinuz` with `initrd` and passes on what its jobs say, until it powers itself off. A line that `hear` does not take is
/// for the reader.
pub(super) fn boot(
    vmlinuz: &Path,
    initrd: &Path,
    log: &Path,
    jobs: &[Job],
    clock: Clock,
    mut hear: impl FnMut(&str) -> bool + Send,
) -> Result<()> {
    let limit = jobs::limit(jobs);
    console::note(&format!("booting (at most {} min)", limit.as_secs() / 60));
    let status = process::run_listened(&mut qemu(vmlinuz, initrd, log, clock), Some(limit), |line| {
        if !hear(line) {
            console::note(line);
        }
    })?;
    ensure!(status.success(), "the emulator failed ({status})");
    Ok(())
}

fn qemu(vmlinuz: &Path, initrd: &Path, log: &Path, clock: Clock) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    match clock {
        Clock::Time => command.args(["-smp", "2"]),
        // An idle guest's clock goes on at once.
        Clock::Instructions => command.args(["-smp", "1", "-icount", "shift=0,sleep=off"]),
    };
    command
        .args(["-accel", "tcg", "-m", MEMORY])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(vmlinuz)
        .arg("-initrd")
        .arg(initrd)
        // A panic ends the guest. Mitigations cost an emulator time and change nothing that is tested.
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        // ttyS0: what the kernel says; ttyS1: what the jobs say.
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .args(["-serial", "stdio"]);
    command
}
