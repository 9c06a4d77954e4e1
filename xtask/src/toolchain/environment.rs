//! Commands that must not inherit what the outer cargo and rustup set for xtask itself.

use std::{env, ffi::OsString, process::Command};

/// Variables that choose a toolchain or wrap its compiler; right for this workspace, wrong for the eBPF toolchain.
const TOOLCHAIN: [&str; 8] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// Prefixes of what `cargo run` tells a program about its package. Build scripts may look at them, and would be run
/// again whenever they differ.
const PACKAGE: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_",
];

/// This workspace's cargo, as the user would start it.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    scrub_package(&mut command);
    command
}

/// Take away everything that the outer cargo and rustup have set.
pub(crate) fn scrub(command: &mut Command) {
    for name in TOOLCHAIN {
        command.env_remove(name);
    }
    scrub_package(command);
}

fn scrub_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if is_about_xtask(&name) {
            command.env_remove(name);
        }
    }
}

fn is_about_xtask(name: &OsString) -> bool {
    // `cargo run` puts its toolchain's libraries on this path, where another toolchain's must not be looked for.
    name == "LD_LIBRARY_PATH"
        || name
            .to_str()
            .is_some_and(|name| PACKAGE.iter().any(|prefix| name.starts_with(prefix)))
}
