//! Loading a program: the verifier gives up with EAGAIN when a signal is pending, which says nothing about the program.

use aya::programs::ProgramError;
use std::{thread, time::Duration};

/// How often it is tried. libbpf tries five times at once (`PROG_LOAD_ATTEMPTS`), which was not always enough on a busy machine.
const ATTEMPTS: u32 = 20;
/// Before the next try: whatever is pending gets its turn.
const PAUSE: Duration = Duration::from_millis(10);

/// Loads a program with `load`, again if the verifier was interrupted.
pub(super) fn load(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    let mut attempt = 1;
    loop {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS =>
            {
                attempt += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}
