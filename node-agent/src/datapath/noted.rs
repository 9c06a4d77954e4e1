//! What the agent after this one must know of the programs: a file in the run directory, there before it is so, and gone when it is so
//! no more.

use super::Error;
use std::{fs, io, path::Path};

/// A fact that is noted, by the file's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted(&'static str);

/// Programs are, or will be, on pod-facing devices.
pub(super) const PODS: Noted = Noted("pod-facing");
/// Encapsulated packets are, or will be, taken.
pub(super) const DSR: Noted = Noted("dsr");

impl Noted {
    /// Notes whether it is so.
    pub(super) fn set(self, run_dir: &Path, is_so: bool) -> Result<(), Error> {
        if is_so {
            self.note(run_dir)
        } else {
            self.forget(run_dir)
        }
    }

    /// Notes that it is, or will be, so.
    pub(super) fn note(self, run_dir: &Path) -> Result<(), Error> {
        if self.may_be(run_dir) {
            return Ok(());
        }
        let path = run_dir.join(self.0);
        let written = fs::create_dir_all(run_dir).and_then(|()| fs::write(&path, ""));
        written.map_err(|source| Error::Io {
            what: format!("write {}", path.display()),
            source,
        })
    }

    /// Notes that it is not so.
    pub(super) fn forget(self, run_dir: &Path) -> Result<(), Error> {
        let path = run_dir.join(self.0);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
                what: format!("remove {}", path.display()),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Whether it may be so.
    pub(super) fn may_be(self, run_dir: &Path) -> bool {
        run_dir.join(self.0).exists()
    }
}
