//! Memory that is needed once.

/// Gives memory that is free back to the kernel: reading everything for the first time takes several times what is kept of it, and
/// little like it follows. Other C libraries than glibc do so by themselves, or not at all.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes a number, and is safe to call from any thread (malloc_trim(3)).
        unsafe { libc::malloc_trim(0) };
    }
}
