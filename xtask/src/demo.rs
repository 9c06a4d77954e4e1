//! `cargo xtask demo`.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{build, interrupt, layout::Layout, probe, process, setup, toolchain::ToolchainChoice};

/// What the demo is to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'o> {
    /// Leave the cluster up.
    pub(crate) keep: bool,
    /// How pods and nodes are wired.
    pub(crate) shape: &'o str,
    /// The address families.
    pub(crate) families: &'o str,
}

pub(crate) fn run(layout: &Layout, options: Options<'_>, choice: ToolchainChoice) -> Result<ExitCode> {
    probe::require_root("making network namespaces and loading eBPF programs")?;
    setup::run(layout, choice)?;
    build::bpf(layout, choice)?;
    build::user_space(layout, false)?;
    interrupt::check()?;

    // On Ctrl-C the demo cleans up and is waited for; what it then returns is what counts.
    let status = process::status(&mut command(layout, options))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn command(layout: &Layout, options: Options<'_>) -> Command {
    let mut command = Command::new(layout.debug_binary("kpr-cluster"));
    command
        .current_dir(&layout.root)
        .env("PATH", probe::path_with(&layout.tools_bin()))
        .arg("demo")
        .args(["--shape", options.shape, "--families", options.families]);
    if options.keep {
        command.arg("--keep");
    }
    command
}
