//! Debian packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use anyhow::{Context, Result, bail};

use crate::{console, probe, process, version::Version};

/// Can packages be installed by this process at all?
pub(crate) fn usable() -> bool {
    probe::on_path("apt-get").is_some() && probe::is_root()
}

/// Refresh the package lists, once per run of xtask. A failure is only told: the lists that are there may do.
pub(crate) fn refresh() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        console::note("refreshing the package lists (apt-get update; some seconds)");
        if let Err(error) = process::run(apt_get().args(["-qq", "update"])) {
            console::note(&format!("going on with the lists that are there: {error:#}"));
        }
    });
}

/// Install packages; `what` says what for and how long it may take.
pub(crate) fn install(packages: &[&str], what: &str) -> Result<()> {
    let list = packages.join(" ");
    if probe::on_path("apt-get").is_none() {
        bail!("{what}: this machine has no apt-get; install what Debian calls `{list}` and run this again");
    }
    if !probe::is_root() {
        bail!("{what}: only root can install packages; run `sudo apt-get install -y {list}` and then this again");
    }
    refresh();
    console::note(&format!("apt-get install {list} ({what})"));
    process::run(
        apt_get()
            .args([
                "-q",
                "-y",
                "--no-install-recommends",
                "-o",
                "Dpkg::Use-Pty=0",
                "-o",
                "DPkg::Lock::Timeout=180",
            ])
            .args(["-o", "Acquire::Retries=3", "install"])
            .args(packages),
    )
    .with_context(|| format!("cannot install {list}: see apt-get's message above"))
}

/// Downloads a package into a directory without installing it; the file.
pub(crate) fn download(package: &str, into: &Path) -> Result<PathBuf> {
    refresh();
    process::capture(apt_get().current_dir(into).args([
        "-q",
        "-o",
        "APT::Sandbox::User=",
        "-o",
        "Acquire::Retries=3",
        "download",
        package,
    ]))?;
    file_of(package, into)
}

/// The file that `apt-get download` made: `<package>_<version>_<architecture>.deb`.
pub(crate) fn file_of(package: &str, directory: &Path) -> Result<PathBuf> {
    let prefix = format!("{package}_");
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".deb") {
            return Ok(path);
        }
    }
    bail!("apt-get has downloaded no {package}");
}

/// Unpacks packages over each other, and runs none of their scripts.
pub(crate) fn unpack(packages: &[PathBuf], into: &Path) -> Result<()> {
    for package in packages {
        process::capture(Command::new("dpkg-deb").arg("--extract").arg(package).arg(into))?;
    }
    Ok(())
}

/// The version of a package that apt would install.
pub(crate) fn candidate(package: &str) -> Option<Version> {
    let policy = process::capture(Command::new("apt-cache").args(["policy", package])).ok()?;
    Version::of_candidate_in(&policy)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
