//! What the demo needs on this machine, checked before anything is built.

use anyhow::{Result, ensure};

use crate::{
    cgroup,
    process::{Binaries, on_path},
};

const PROGRAMS: [(&str, &str); 5] = [
    ("ip", "install the package iproute2"),
    ("tc", "install the package iproute2"),
    ("nsenter", "install the package util-linux"),
    ("kubectl", "run `cargo xtask setup`"),
    ("curl", "install the package curl"),
];

/// Fails with what is missing first, and what to do about it.
pub(super) fn check(programs_under_test: &[&str]) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the test cluster makes network namespaces and loads eBPF programs: run it as root"
    );
    cgroup::mount_point()?;
    for (program, remedy) in PROGRAMS {
        ensure!(on_path(program).is_some(), "`{program}` is not on the PATH: {remedy}");
    }
    let binaries = Binaries::find()?;
    for program in programs_under_test {
        binaries.get(program)?;
    }
    Ok(())
}
