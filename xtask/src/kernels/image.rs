//! A kernel, downloaded and unpacked, but not installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{apt_sources::Apt, catalog::Series};
use crate::{apt, console};

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Image {
    /// The package that it is from.
    pub(super) package: String,
    pub(super) vmlinuz: PathBuf,
    /// `lib/modules/<release>`.
    pub(super) modules: PathBuf,
}

/// The newest image of a series, below `directory`; downloaded if it is not there.
pub(super) fn ready(directory: &Path, series: Series) -> Result<Image> {
    let apt = Apt::open(directory.join("apt"), series.origin())?;
    let package = apt.dependency(series.meta_package(), "linux-image-")?;
    let root = directory.join(&package);
    let complete = root.join(".complete");
    if !complete.exists() {
        let downloads = directory.join("downloads");
        let files = apt.download(&series.packages(&package), &downloads)?;
        fs::create_dir_all(&root)?;
        apt::unpack(&files, &root)?;
        fs::remove_dir_all(&downloads)?;
        fs::write(&complete, "")?;
    }
    console::note(&format!("kernel: {package}"));
    let boot = |name: &str| name.starts_with("vmlinuz-");
    Ok(Image {
        vmlinuz: only_entry(&root.join("boot"), boot)?,
        modules: only_entry(&root.join("lib/modules"), |_| true)?,
        package,
    })
}

fn only_entry(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut found = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| wanted(&path.file_name().unwrap_or_default().to_string_lossy()));
    found
        .next()
        .with_context(|| format!("the package has nothing usable in {}", directory.display()))
}
