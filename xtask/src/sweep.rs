//! `cargo xtask sweep`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{layout::Layout, probe, process, toolchain};

pub(crate) fn run(layout: &Layout) -> Result<()> {
    probe::require_root("removing namespaces, cgroups and mounts")?;
    process::run(toolchain::cargo().current_dir(&layout.root).args([
        "build",
        "--package",
        "kpr-cluster",
        "--bin",
        "kpr-cluster",
    ]))?;
    carry_out(layout)
}

/// Sweep with the binary that is there, also after an interrupt.
pub(crate) fn carry_out(layout: &Layout) -> Result<()> {
    let binary = layout.debug_binary("kpr-cluster");
    let status = process::status(Command::new(&binary).arg("sweep")).context("cannot sweep")?;
    ensure!(status.success(), "`{} sweep` failed ({status})", binary.display());
    Ok(())
}
