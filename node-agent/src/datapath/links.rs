//! Attaches programs by links that are pinned, and swaps the program behind a pinned link without a gap.

use super::{Error, sys};
use aya::programs::links::{FdLink, PinnedLink};
use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// Whether a link was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The pinned link runs the new program now.
    Swapped,
    /// There was no usable link: attach, and pin it here.
    Absent,
}

/// Swaps the program behind the link pinned at `pin`, if there is one. A severed link (its device or cgroup is gone) is
/// unpinned.
pub(super) fn swap(pin: &Path, program: BorrowedFd<'_>) -> Result<Outcome, Error> {
    let link = match sys::open_pin(pin) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Absent),
        Err(source) => {
            return Err(Error::Io {
                what: format!("open the pinned link {}", pin.display()),
                source,
            });
        }
    };
    match sys::update_link(link.as_fd(), program) {
        Ok(()) => Ok(Outcome::Swapped),
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {
            unpin(pin)?;
            Ok(Outcome::Absent)
        }
        Err(source) => Err(Error::Io {
            what: format!("swap the program behind {}", pin.display()),
            source,
        }),
    }
}

/// Pins a fresh link, so that it outlives this process.
pub(super) fn pin(link: FdLink, path: &Path) -> Result<(), Error> {
    let _: PinnedLink = link.pin(path).map_err(|error| Error::Io {
        what: format!("pin a link at {}", path.display()),
        source: io::Error::other(error),
    })?;
    Ok(())
}

/// Removes a pinned link; with its last reference gone, the program is detached.
pub(super) fn unpin(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            what: format!("remove the pin {}", path.display()),
            source: error,
        }),
        _ => Ok(()),
    }
}
