//! Memory that is needed once. Reading everything for the first time takes several times what is kept of it, and little like it follows.
//! What is said to glibc here, other C libraries do by themselves, or not at all.

/// What is taken as pages of its own, and given back as such, in bytes: a page of a list is ten times as large, an object a hundredth.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 * 1024;
/// Heaps for all threads together: two decode lists at the same time.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// Has large pieces of memory given back as soon as they are free. To be called first of all.
pub(crate) fn give_back_large() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: they take numbers; what is not taken (mallopt(3)) stays as it was, which costs memory and nothing else.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        }
    }
}

/// Gives memory that is free back to the kernel.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes a number, and is safe to call from any thread (malloc_trim(3)).
        unsafe { libc::malloc_trim(0) };
    }
}
