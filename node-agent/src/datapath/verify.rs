//! Loading a program: the verifier gives up with EAGAIN when a signal is pending, which says nothing about the program.

use aya::programs::ProgramError;

/// As often as libbpf tries (`PROG_LOAD_ATTEMPTS`).
const ATTEMPTS: u32 = 5;

/// Loads a program with `load`, again if the verifier was interrupted.
pub(super) fn load(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    let mut attempt = 1;
    loop {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            result => return result,
        }
    }
}
