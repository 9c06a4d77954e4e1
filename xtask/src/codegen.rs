//! `cargo xtask codegen`: the generator is a binary of the crate that knows the types, so that xtask itself need not
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
    chart::codegen(layout, check)
}
