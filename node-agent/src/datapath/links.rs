//! Attaches programs by links that are pinned, and swaps the program behind a pinned link without a gap.

use super::{Error, sys};
use aya::programs::{
    ProgramError,
    links::{FdLink, PinnedLink},
};
use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// For how long the kernel may still be letting go of a link whose last pin is gone: it does that after a grace period of RCU, and
/// then from a work queue (`bpf_free_inode` and `bpf_link_put` in kernel/bpf), so a loaded machine takes its time.
const LETTING_GO: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

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

/// Attaches a program with `attach`, again while the kernel says that this very program is attached there: nobody has a pin of
/// that link any more, so it is on its way out.
pub(super) fn attach<T>(attach: impl FnMut() -> Result<T, ProgramError>) -> Result<T, ProgramError> {
    attach_while(is_attached_twice, attach)
}

/// The same, again while an error means that an own link is on its way out.
pub(super) fn attach_while<T, E>(
    is_leaving: impl Fn(&E) -> bool,
    mut attach: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let until = Instant::now() + LETTING_GO;
    loop {
        match attach() {
            Err(error) if is_leaving(&error) && Instant::now() < until => thread::sleep(LOOK_AGAIN),
            result => return result,
        }
    }
}

/// Of one program attached twice to one hook, tcx says `EEXIST` (kernel/bpf/mprog.c), and a cgroup `EINVAL`
/// (`find_attach_entry` in kernel/bpf/cgroup.c).
fn is_attached_twice(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(error.io_error.raw_os_error(), Some(libc::EEXIST | libc::EINVAL))
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
