//! How long programs have run, as the kernel measures it while `kernel.bpf_stats_enabled` is set: two clock readings for each run, so it is off
//! unless somebody turns it on.

use super::fdinfo::FdInfo;
use aya::Ebpf;
use std::{
    fs,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

/// What a program has used up since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// Its name.
    pub program: String,
    /// Processor time of all its runs together that were measured.
    pub time: Duration,
    /// How many those were.
    pub runs: u64,
}

/// Whether the kernel measures; `CAP_SYS_ADMIN` may let a process measure without this being set, which is its own business.
const MEASURES: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Of every program that ran while the kernel measured, ordered by name; none while it does not.
pub(super) fn read(ebpf: &Ebpf) -> Vec<RunTime> {
    if fs::read_to_string(MEASURES).map_or(true, |measures| measures.trim() == "0") {
        return Vec::new();
    }
    let mut found: Vec<RunTime> = ebpf
        .programs()
        // One that is not loaded has no descriptor: it is not used on this kernel.
        .filter_map(|(name, program)| measured(name, program.fd().ok()?.as_fd()))
        .collect();
    found.sort_unstable_by(|one, other| one.program.cmp(&other.program));
    found
}

fn measured(name: &str, program: BorrowedFd<'_>) -> Option<RunTime> {
    let info = FdInfo::of(program)?;
    let runs = info.number("run_cnt").filter(|runs| *runs > 0)?;
    Some(RunTime {
        program: name.to_owned(),
        time: Duration::from_nanos(info.number("run_time_ns")?),
        runs,
    })
}
