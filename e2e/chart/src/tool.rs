//! Where the tools are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The one on PATH, or the one in `target/tools/bin`.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = root().join("target/tools/bin");
    std::env::split_paths(&path)
        .chain([ours])
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("there is no {name}: run `cargo xtask test --only chart`, or put one on PATH"))
}
