//! `cargo xtask dist`: `kubectl kpr` for those who don't get it from a cluster. For each platform an archive, and its SHA-256 beside it; and
//! the manifest by which krew, kubectl's manager of plugins, installs it from where releases are.
//!
//! Two builds of the same commit with the same toolchain are the same bytes, as those of the image.

mod archive;
mod manifest;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};

use self::{archive::Archive, manifest::Release};
use crate::{
    cli::Platforms,
    image::{
        Platform,
        binaries::{self, PLUGIN},
        git,
        root::LICENSES,
    },
    layout::Layout,
};

pub(crate) fn run(layout: &Layout, wanted: &Platforms) -> Result<ExitCode> {
    let platforms = Platform::ready(wanted)?;
    let time = git::origin(&layout.root)?.time;
    let directory = layout.root.join("target/plugin");
    let mut releases = Vec::new();
    for &platform in &platforms.ready {
        let mut files = binaries::build(layout, platform, &[PLUGIN])?;
        files.extend(LICENSES.map(|name| layout.root.join(name)));
        let name = format!("{}-linux-{}", PLUGIN.0, platform.architecture());
        let archive = Archive::pack(&directory, &name, &files, time)?;
        println!("archive  {}", archive.file.display());
        println!("sha256   {}", archive.sha256);
        releases.push(Release { platform, archive });
    }
    let file = directory.join("kpr.yaml");
    fs::write(&file, manifest::of(&releases)).with_context(|| format!("cannot write {}", file.display()))?;
    println!("krew     {}", file.display());
    Ok(platforms.exit())
}
