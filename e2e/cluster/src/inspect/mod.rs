//! What a datapath has on a node, found without asking the datapath.

mod attached;
mod pinned_map;
mod sysctls;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

pub use self::{pinned_map::clear, sysctls::Sysctls};
use crate::{net::UPLINK, testbed::Host};

/// Programs and pins on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Hooks that have a program, one name per program.
    pub programs: Vec<String>,
    /// Pinned programs, maps and links.
    pub pins: Vec<PathBuf>,
}

impl Traces {
    /// Looks at `host`.
    pub fn of(host: &Host) -> Result<Self> {
        let mut programs = attached::to_cgroup(host.cgroup.path())?;
        programs.extend(host.netns.run(|| attached::to_device(UPLINK))?);
        programs.extend(classic_tc(host)?);
        if host.netns.ip_output(&["link", "show", "dev", UPLINK])?.contains(" xdp") {
            programs.push("xdp".to_owned());
        }
        let mut pins = Vec::new();
        files(&host.bpffs, &mut pins)?;
        Ok(Self { programs, pins })
    }

    /// True if there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.pins.is_empty()
    }
}

/// What kernels without tcx use instead: filters on a `clsact` qdisc.
fn classic_tc(host: &Host) -> Result<Vec<String>> {
    let output = host.netns.run(|| {
        Command::new("tc")
            .args(["qdisc", "show", "dev", UPLINK])
            .output()
            .context("run tc (package iproute2)")
    })?;
    let found = String::from_utf8_lossy(&output.stdout).contains("clsact");
    Ok(found.then(|| "tc/clsact".to_owned()).into_iter().collect())
}

/// A directory that is gone has no files: agents remove their own at the end.
fn files(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("list {}", directory.display())),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}
