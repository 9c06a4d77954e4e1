//! `cargo xtask codegen`: the generators are programs of the crates that know the types, so that xtask itself need not
//! be compiled with Kubernetes' API.

use anyhow::{Context, Result};

use crate::{chart, layout::Layout, process, toolchain};

pub(crate) fn run(layout: &Layout, check: bool) -> Result<()> {
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["run", "--package", "kpr-crds", "--bin", "kpr-codegen", "--"]);
    if check {
        command.arg("--check");
    }
    process::run(&mut command).context("code generation failed: see the message above")?;
    manual(layout, check)?;
    chart::codegen(layout, check)
}

/// The manual pages of `kpr`, which it makes of its own command line.
fn manual(layout: &Layout, check: bool) -> Result<()> {
    let pages = layout.root.join("docs/man");
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["run", "--package", "kpr-node-agent", "--bin", "kpr", "--", "manual"])
        .arg(if check { "--check" } else { "--write" })
        .arg(pages);
    process::run(&mut command).context("the manual pages are not written: see the message above")
}
