//! `cargo xtask codegen`: the generators are programs of the crates that know the types, so that xtask itself need not
//! be compiled with Kubernetes' API.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{chart, console, layout::Layout, process, toolchain};

pub(crate) fn run(layout: &Layout, check: bool) -> Result<()> {
    let mut command = generator(layout, "kpr-crds", "kpr-codegen");
    if check {
        command.arg("--check");
    }
    process::run(&mut command).context("code generation failed: see the message above")?;
    manual(layout, check)?;
    let mut files = chart::files(&layout.root)?;
    files.push(tree(layout)?);
    update(layout, files, check)
}

/// The manual pages of `kpr`, which it makes of its own command line.
fn manual(layout: &Layout, check: bool) -> Result<()> {
    let pages = layout.root.join("docs/man");
    let mut command = kpr(layout);
    command
        .args(["manual", if check { "--check" } else { "--write" }])
        .arg(pages);
    process::run(&mut command).context("the manual pages are not written: see the message above")
}

/// The command line of `kpr`, by which `kubectl kpr` completes it.
fn tree(layout: &Layout) -> Result<(PathBuf, String)> {
    let file = layout.root.join("kubectl-plugin/src/completion/kpr.json");
    let tree = process::capture(kpr(layout).arg("tree")).context("kpr does not tell its command line")?;
    Ok((file, tree))
}

fn kpr(layout: &Layout) -> Command {
    generator(layout, "kpr-node-agent", "kpr")
}

fn generator(layout: &Layout, package: &str, program: &str) -> Command {
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["run", "--package", package, "--bin", program, "--"]);
    command
}

/// Brings files up to date, or fails if one isn't and they shall only be looked at.
fn update(layout: &Layout, files: Vec<(PathBuf, String)>, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (path, content) in files {
        let shown = path.strip_prefix(&layout.root).unwrap_or(&path).display().to_string();
        if fs::read_to_string(&path).is_ok_and(|old| old == content) {
            console::note(&format!("{shown} is up to date"));
        } else if check {
            stale.push(shown);
        } else {
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
            console::note(&format!("{shown} written"));
        }
    }
    if !stale.is_empty() {
        bail!("out of date: {}; run `cargo xtask codegen`", stale.join(", "));
    }
    Ok(())
}
