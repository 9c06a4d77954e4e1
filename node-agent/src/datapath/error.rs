//! What can go wrong below the line; each message says what to do.

use std::path::PathBuf;

/// Errors of the datapath.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The agent was built without the eBPF object.
    #[error("this agent was built without its eBPF programs: build it with `cargo xtask build`")]
    NoObject,
    /// Not enough privileges.
    #[error("loading eBPF programs needs root, or the capabilities BPF, NET_ADMIN and PERFMON: {0}")]
    Privileges(#[source] std::io::Error),
    /// The kernel has no BTF.
    #[error("the kernel has no BTF at /sys/kernel/btf/vmlinux: use a kernel built with CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf,
    /// The cgroup directory is not on cgroup2.
    #[error("{path} is not a cgroup2 directory: mount cgroup2 there, or name its mount point with --cgroup-root")]
    NotCgroup2 {
        /// The directory as given.
        path: PathBuf,
    },
    /// The pin directory is not on a bpffs.
    #[error("{path} is not on a BPF file system: `mount -t bpf bpf /sys/fs/bpf`, or name one with --bpffs-root")]
    NotBpffs {
        /// The directory as given.
        path: PathBuf,
    },
}
