//! The programs that run in a guest: test binaries, kpr's own, and the tools that they call.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::jobs::{Group, Job};
use crate::{build, console, layout::Layout, probe, process, toolchain};

/// What the test cluster starts.
const KPR: [&str; 4] = ["kpr", "kpr-cluster", "kpr-node-agent", "kpr-operator"];

/// What kpr's tests call.
const TOOLS: [&str; 7] = ["ip", "tc", "nsenter", "curl", "nft", "iptables-legacy", "iptables-nft"];

/// Programs for guests.
#[derive(Debug)]
pub(super) struct Binaries {
    /// Test binaries and kpr's own, stripped: a guest's memory is its disk.
    pub(super) tested: Vec<PathBuf>,
    pub(super) tools: Vec<PathBuf>,
    pub(super) busybox: PathBuf,
}

impl Binaries {
    /// Builds what the jobs need.
    pub(super) fn build(layout: &Layout, jobs: &[Job]) -> Result<Self> {
        let start = Instant::now();
        console::step("Building the tests that the guests run");
        let mut built = tests(layout, jobs)?;
        if jobs.iter().any(|job| job.group == Group::E2e) {
            build::user_space(layout, false)?;
            built.extend(KPR.map(|name| (name.to_owned(), layout.debug_binary(name))));
        }
        let tested = built.iter().map(|(name, from)| stripped_from(layout, name, from));
        let tested = tested.collect::<Result<_>>()?;
        console::note(&format!("built ({})", console::duration(start.elapsed())));
        Self::of(tested)
    }

    /// These, and the tools that a test cluster is made with.
    pub(super) fn of(tested: Vec<PathBuf>) -> Result<Self> {
        Ok(Self {
            tested,
            tools: TOOLS.into_iter().map(on_path).collect::<Result<_>>()?,
            busybox: on_path("busybox")?,
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.tested.iter().chain(&self.tools).chain([&self.busybox])
    }
}

/// A binary that is built already, without what only debuggers read.
pub(super) fn stripped(layout: &Layout, name: &str) -> Result<PathBuf> {
    stripped_from(layout, name, &layout.debug_binary(name))
}

fn stripped_from(layout: &Layout, name: &str, from: &Path) -> Result<PathBuf> {
    let directory = layout.target.join("kernels/bin");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let to = directory.join(name);
    strip(from, &to)?;
    Ok(to)
}

/// Name and file of each job's test binary.
fn tests(layout: &Layout, jobs: &[Job]) -> Result<Vec<(String, PathBuf)>> {
    let mut command = toolchain::cargo();
    command.current_dir(&layout.root).args([
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    for job in jobs {
        command.args(["--features", &format!("{}/privileged", job.package), "--test", job.name]);
    }
    let mut messages = Vec::new();
    let status = process::run_listened(&mut command, None, |line| messages.push(line.to_owned()))?;
    anyhow::ensure!(status.success(), "the tests do not build: see the message above");
    jobs.iter()
        .map(|job| {
            let file = messages.iter().find_map(|message| executable(message, job.name));
            let file = file.with_context(|| format!("cargo has built no test {}", job.name))?;
            Ok((job.name.to_owned(), file))
        })
        .collect()
}

/// The test binary that a message of cargo is about, if it is the one of this target.
fn executable(message: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == target && message["profile"]["test"] == true;
    is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
}

fn strip(from: &Path, to: &Path) -> Result<()> {
    process::capture(Command::new("strip").arg("-o").arg(to).arg(from)).map(drop)
}

fn on_path(name: &str) -> Result<PathBuf> {
    probe::on_path(name).with_context(|| format!("{name} is not on PATH"))
}

#[cfg(test)]
mod unit {
    use super::executable;

    #[test]
    fn a_test_binary_is_found_among_cargos_messages() {
        let built = r#"{"reason":"compiler-artifact","target":{"name":"packets","kind":["test"]},"profile":{"test":true},"executable":"/target/packets-1"}"#;
        let library =
            r#"{"reason":"compiler-artifact","target":{"name":"packets"},"profile":{"test":false},"executable":null}"#;
        assert_eq!(executable(built, "packets"), Some("/target/packets-1".into()));
        assert_eq!(executable(built, "loading"), None);
        assert_eq!(executable(library, "packets"), None);
        assert_eq!(executable("no JSON", "packets"), None);
    }
}
