//! What the kernel allows this process.

use std::io;

use anyhow::{Context as _, Result};

/// Lets this process have so many open files (`RLIMIT_NOFILE`), and more if it may already.
pub fn allow_open_files(count: u64) -> Result<()> {
    let failed = || format!("ask for {count} open files");
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one struct to `limit`.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    succeeded(read).with_context(failed)?;
    if limit.rlim_cur >= count {
        return Ok(());
    }
    limit.rlim_cur = count;
    limit.rlim_max = limit.rlim_max.max(count);
    // SAFETY: the call reads one struct.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    succeeded(set).with_context(failed)
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
