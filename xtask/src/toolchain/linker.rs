//! bpf-linker, and the LLVM that it is built on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{environment::cargo, rust::BpfRust};
use crate::{apt, console, layout::Layout, probe, process, version::Version};

/// Newer linkers write other BTF: a change of this version is a change of the datapath, to be tested as one.
const VERSION: &str = "0.13.0";
/// The major versions of LLVM that this bpf-linker can be built on.
const LLVM_MAJORS: std::ops::RangeInclusive<u32> = 21..=23;

/// The newest LLVM of a major version that is installed or can be.
pub(crate) fn newest_llvm(major: u32) -> Option<Version> {
    if !LLVM_MAJORS.contains(&major) {
        return None;
    }
    installed_llvm(major).or_else(|| apt::candidate(&format!("llvm-{major}-dev")))
}

/// Find a linker that reads what this compiler writes, or build one.
pub(crate) fn ready(layout: &Layout, rust: &BpfRust) -> Result<()> {
    let major = rust.llvm.major;
    if ours_fits(layout, major) || is_on_path() {
        return Ok(());
    }
    ensure!(
        LLVM_MAJORS.contains(&major),
        "bpf-linker {VERSION} cannot be built on the LLVM of {}: choose another toolchain with --bpf-toolchain",
        rust.describe()
    );
    console::step(&format!(
        "Building bpf-linker {VERSION} on LLVM {major} (1 to 3 minutes)"
    ));
    let prefix = llvm_prefix(major)?;
    process::run(
        cargo()
            .args([
                "install",
                "bpf-linker",
                "--version",
                VERSION,
                "--locked",
                "--force",
                "--no-default-features",
            ])
            .args(["--features", &format!("llvm-{major}"), "--root"])
            .arg(layout.tools())
            .env("LLVM_PREFIX", prefix)
            .env("RUSTFLAGS", ""),
    )
    .context("cannot build bpf-linker: see cargo's message above")?;
    fs::write(stamp(layout), major.to_string()).context("cannot note which LLVM bpf-linker was built on")
}

/// The prefix of an LLVM with its headers and libraries, installed if need be.
fn llvm_prefix(major: u32) -> Result<PathBuf> {
    let config = format!("llvm-config-{major}");
    let has_static_parts = |prefix: &Path| prefix.join("include/llvm-c/Core.h").exists();
    let prefix = || process::capture(Command::new(&config).arg("--prefix")).map(|text| PathBuf::from(text.trim()));
    if !prefix().is_ok_and(|prefix| has_static_parts(&prefix)) {
        let (llvm, polly) = (format!("llvm-{major}-dev"), format!("libpolly-{major}-dev"));
        apt::install(
            &[&llvm, &polly, "libzstd-dev", "zlib1g-dev"],
            "the LLVM that bpf-linker is built on; about 200 MB, 1 to 2 minutes",
        )?;
    }
    prefix()
}

fn installed_llvm(major: u32) -> Option<Version> {
    process::capture(Command::new(format!("llvm-config-{major}")).arg("--version"))
        .ok()?
        .parse()
        .ok()
}

fn ours_fits(layout: &Layout, major: u32) -> bool {
    has_version(&layout.tools_bin().join("bpf-linker"))
        && fs::read_to_string(stamp(layout)).is_ok_and(|built_on| built_on.trim() == major.to_string())
}

/// Has the user put this version on PATH?
pub(crate) fn is_on_path() -> bool {
    probe::on_path("bpf-linker").is_some_and(|file| has_version(&file))
}

fn has_version(file: &Path) -> bool {
    process::capture(Command::new(file).arg("--version"))
        .is_ok_and(|text| text.trim() == format!("bpf-linker {VERSION}"))
}

fn stamp(layout: &Layout) -> PathBuf {
    layout.tools().join("bpf-linker.llvm")
}
