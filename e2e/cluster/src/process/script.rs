//! Shell scripts that are written for a cluster.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Writes a script that can be run. `commands`: what it does, without the line that names its shell.
pub(crate) fn write_script(path: &Path, commands: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{commands}")).with_context(|| format!("write {}", path.display()))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, executable).with_context(|| format!("make {} executable", path.display()))
}
