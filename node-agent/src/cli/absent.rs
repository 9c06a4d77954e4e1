//! What is said where nothing is pinned.

use std::path::Path;

/// The error of commands that read maps.
pub(super) fn error(bpffs_root: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "no datapath is pinned under {} (--bpffs-root names another directory)",
        bpffs_root.display()
    )
}

/// What is said of maps that are there and can't be read.
pub(super) fn unreadable(bpffs_root: &Path) -> String {
    format!("the maps pinned under {} cannot be read", bpffs_root.display())
}
