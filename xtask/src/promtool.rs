//! promtool, which tests the chart's alerts.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{apt, console, layout::Layout, probe};

/// The Debian package that has it. It is unpacked and not installed: installed, it would start a server.
const PACKAGE: &str = "prometheus";

/// The one on PATH, or one of Debian's in `target/tools`, which is got if it is missing.
pub(crate) fn ready(layout: &Layout) -> Result<PathBuf> {
    if let Some(found) = probe::on_path("promtool") {
        return Ok(found);
    }
    let tools = layout.root.join("target/tools");
    let promtool = tools.join("bin/promtool");
    if promtool.is_file() {
        return Ok(promtool);
    }
    let directory = tools.join(PACKAGE);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    console::note(&format!("apt-get download {PACKAGE} (promtool, 19 MB; some seconds)"));
    let package = apt::download(PACKAGE, &directory)?;
    apt::unpack(&[package], &directory)?;
    fs::create_dir_all(tools.join("bin")).with_context(|| format!("cannot make {}", tools.join("bin").display()))?;
    fs::rename(directory.join("usr/bin/promtool"), &promtool).context("the package has no promtool")?;
    fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    Ok(promtool)
}
