//! The network sysctls of a namespace, to compare before and after.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::net::Netns;

const ROOT: &str = "/proc/sys/net";

/// Values that change by themselves.
const COUNTERS: [&str; 2] = ["nf_conntrack_count", "nf_conntrack_buckets"];

/// Every readable sysctl below `net`, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctls(BTreeMap<PathBuf, String>);

impl Sysctls {
    /// Reads them.
    pub fn of(netns: &Netns) -> Result<Self> {
        netns.run(|| {
            let mut values = BTreeMap::new();
            collect(Path::new(ROOT), &mut values);
            Ok(Self(values))
        })
    }

    /// How `later` differs, one line per sysctl. Devices that come and go do not count.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let changed = self.0.iter().filter_map(|(path, before)| {
            let after = later.0.get(path)?;
            (before != after).then(|| format!("{}: {before} -> {after}", path.display()))
        });
        changed.collect()
    }
}

fn collect(directory: &Path, values: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, values);
        } else if !COUNTERS.iter().any(|counter| path.ends_with(counter)) {
            // Some are write-only.
            if let Ok(value) = fs::read_to_string(&path) {
                values.insert(path, value.trim().to_owned());
            }
        }
    }
}
