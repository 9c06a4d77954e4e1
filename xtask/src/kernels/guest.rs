//! Booting a guest and listening to it.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use super::jobs::{self, Job};
use crate::{console, process};

/// The file system is in it, too.
const MEMORY: &str = "2048";

/// Boots `vmlinuz` with `initrd` and passes on what its jobs say, until it powers itself off. A line that `hear` does not take is
/// for the reader.
pub(super) fn boot(
    vmlinuz: &Path,
    initrd: &Path,
    log: &Path,
    jobs: &[Job],
    mut hear: impl FnMut(&str) -> bool + Send,
) -> Result<()> {
    let limit = jobs::limit(jobs);
    console::note(&format!("booting (at most {} min)", limit.as_secs() / 60));
    let status = process::run_listened(&mut qemu(vmlinuz, initrd, log), Some(limit), |line| {
        if !hear(line) {
            console::note(line);
        }
    })?;
    ensure!(status.success(), "the emulator failed ({status})");
    Ok(())
}

fn qemu(vmlinuz: &Path, initrd: &Path, log: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg", "-smp", "2", "-m", MEMORY])
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
