//! Whether programs are on pod-facing devices, for the agent after this one: a file in the run directory, there before the first
//! is attached, and gone after the last is detached.

use crate::datapath::Error;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Notes that programs are, or will be, on pod-facing devices.
pub(super) fn note(run_dir: &Path) -> Result<(), Error> {
    let path = marker(run_dir);
    if path.exists() {
        return Ok(());
    }
    let written = fs::create_dir_all(run_dir).and_then(|()| fs::write(&path, ""));
    written.map_err(|source| Error::Io {
        what: format!("write {}", path.display()),
        source,
    })
}

/// Notes that there are none.
pub(super) fn forget(run_dir: &Path) -> Result<(), Error> {
    let path = marker(run_dir);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            what: format!("remove {}", path.display()),
            source,
        }),
        _ => Ok(()),
    }
}

/// Whether there may be some.
pub(super) fn are_noted(run_dir: &Path) -> bool {
    marker(run_dir).exists()
}

fn marker(run_dir: &Path) -> PathBuf {
    run_dir.join("pod-facing")
}
