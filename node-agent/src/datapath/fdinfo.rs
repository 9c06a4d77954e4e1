//! What the kernel tells of a descriptor beside what system calls do (`bpf_map_show_fdinfo` and `bpf_prog_show_fdinfo` in
//! kernel/bpf/syscall.c).

use std::{
    fs,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// Numbers by name.
pub(super) struct FdInfo(String);

impl FdInfo {
    /// Of a descriptor of this process; none if it can't be read.
    pub(super) fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
            .ok()
            .map(Self)
    }

    /// The number of this name, such as "memlock", if the kernel tells it.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let of_name = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
        self.0.lines().find_map(of_name)
    }
}

#[cfg(test)]
mod tests {
    use super::FdInfo;

    #[test]
    fn a_number_is_one_line_of_many() {
        let map =
            FdInfo("pos:\t0\nmap_type:\t9\nmax_entries:\t65536\nmemlock:\t10492160\nmap_id:\t7\nfrozen:\t0\n".into());
        assert_eq!(map.number("memlock"), Some(10_492_160));
        let program = FdInfo("prog_type:\t3\nprog_jited:\t1\nmemlock:\t8192\nrun_time_ns:\t1234\nrun_cnt:\t5\n".into());
        assert_eq!(program.number("run_time_ns"), Some(1_234));
        assert_eq!(program.number("run_cnt"), Some(5));
        assert_eq!(FdInfo("pos:\t0\n".into()).number("memlock"), None);
        assert_eq!(FdInfo("prog_type:\t3\n".into()).number("run_cnt"), None);
    }
}
