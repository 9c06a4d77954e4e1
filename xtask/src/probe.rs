//! Looking at the machine, without changing it.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

/// The executable that a shell would run for `name`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// Is this a file that may be run?
pub(crate) fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Does this process run as root?
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// An error unless this process runs as root; `what` says what needs it.
pub(crate) fn require_root(what: &str) -> Result<()> {
    // Plain sudo would not find a cargo that rustup has installed for one user.
    ensure!(
        is_root(),
        "{what} needs root: run it again with `sudo -E env \"PATH=$PATH\" cargo xtask …`"
    );
    Ok(())
}

/// PATH with a directory put first.
pub(crate) fn path_with(dir: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(dir.to_path_buf()).chain(env::split_paths(&path));
    // Fails only for a name with a colon in it, which could not be put on PATH by anyone.
    env::join_paths(dirs).unwrap_or(path)
}
