//! The programs that are shipped: static, stripped, and without a path of this machine in them.

use std::{ffi::OsString, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};

use super::Platform;
use crate::{build, console, layout::Layout, process, toolchain};

/// The profile of `Cargo.toml` that they are built with.
const PROFILE: &str = "dist";
/// A package, and its programs.
pub(crate) type Package = (&'static str, &'static [&'static str]);

/// What `kubectl kpr` is.
pub(crate) const PLUGIN: Package = ("kubectl-kpr", &["kubectl-kpr"]);
/// What the image has.
pub(super) const IMAGE: [Package; 3] = [
    ("kpr-operator", &["kpr-operator"]),
    ("kpr-node-agent", &["kpr", "kpr-node-agent"]),
    PLUGIN,
];

/// Builds the programs of these packages; where they are.
pub(crate) fn build(layout: &Layout, platform: Platform, packages: &[Package]) -> Result<Vec<PathBuf>> {
    let start = Instant::now();
    console::step(&format!(
        "Building static programs for {platform} (the first time some minutes)"
    ));
    let target = platform.target();
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["build", "--locked", "--profile", PROFILE, "--target", target, "--bins"])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(layout))
        .env(format!("CFLAGS_{}", target.replace('-', "_")), c_flags(layout))
        .envs(platform.variables());
    for (package, _) in packages {
        command.args(["--package", package]);
    }
    process::run(&mut command).with_context(|| format!("kpr does not build for {platform}: see the message above"))?;
    let directory = layout.target.join(target).join(PROFILE);
    let names = packages.iter().flat_map(|(_, programs)| *programs);
    let programs: Vec<_> = names.map(|program| directory.join(program)).collect();
    for program in &programs {
        ensure!(program.is_file(), "{} was not built", program.display());
    }
    console::note(&format!("built ({})", console::duration(start.elapsed())));
    Ok(programs)
}

/// Checks with clippy what the image has: `libc` has other types there than with glibc.
pub(super) fn lint(layout: &Layout, platform: Platform) -> Result<()> {
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["clippy", "--locked", "--target", platform.target(), "--bins"])
        .envs(platform.variables());
    for (package, _) in IMAGE {
        command.args(["--package", package]);
    }
    process::run(command.args(["--", "-D", "warnings"]))
}

/// Messages of panics name sources: where the checkout and cargo's registry are must not matter.
fn flags(layout: &Layout) -> OsString {
    let [mut checkout, cargo_home] = build::remapped(&layout.root);
    checkout.push("\x1f");
    checkout.push(cargo_home);
    checkout
}

/// The same for what is C.
fn c_flags(layout: &Layout) -> OsString {
    let mut flags = OsString::from("-ffile-prefix-map=");
    flags.push(&layout.root);
    flags.push("=. -ffile-prefix-map=");
    flags.push(build::cargo_home());
    flags.push("=cargo");
    flags
}
