//! The clock that flows and affinities are aged by.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;

/// Seconds since boot (`CLOCK_MONOTONIC_COARSE`).
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without arguments.
    let nanoseconds = unsafe { bpf_ktime_get_coarse_ns() };
    // 136 years of uptime.
    (nanoseconds / 1_000_000_000) as u32
}
