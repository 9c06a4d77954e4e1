//! What can go wrong below the line; each message says what to do.

use std::{io, path::PathBuf};

/// Errors of the datapath.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The agent was built without the eBPF object.
    #[error("this agent was built without its eBPF programs: build it with `cargo xtask build`")]
    NoObject,
    /// Not enough privileges.
    #[error(
        "not allowed to load eBPF programs: run as root, or with the capabilities BPF, NET_ADMIN and PERFMON \
         (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)"
    )]
    Privileges,
    /// The kernel has no BTF.
    #[error("the kernel has no BTF at /sys/kernel/btf/vmlinux: use a kernel built with CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf,
    /// The cgroup directory is not on cgroup2.
    #[error(
        "{} is not a cgroup2 directory: mount cgroup2 (`mount -t cgroup2 none DIR`), or name its mount point with \
         --cgroup-root", path.display()
    )]
    NotCgroup2 {
        /// The directory as given.
        path: PathBuf,
    },
    /// The pin directory is not on a bpffs.
    #[error(
        "{} is not on a BPF file system: mount one (`mount -t bpf bpf /sys/fs/bpf`), or name one with --bpffs-root",
        path.display()
    )]
    NotBpffs {
        /// The directory as given.
        path: PathBuf,
    },
    /// A pinned map has another layout.
    #[error(
        "the pinned map {} has another layout than this agent's {name} map: remove the datapath with \
         `kpr-node-agent uninstall` and start again", path.display()
    )]
    IncompatibleMap {
        /// Name of the map.
        name: &'static str,
        /// Its pin.
        path: PathBuf,
    },
    /// The verifier or the loader refused the programs.
    #[error("the kernel refused to load the eBPF programs")]
    Load(#[from] aya::EbpfError),
    /// A program failed to load or attach.
    #[error("cannot {what} the eBPF program {program}")]
    Program {
        /// "load", "attach", …
        what: &'static str,
        /// Name of the program.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: aya::programs::ProgramError,
    },
    /// A link could not be pinned or swapped.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A map has no room.
    #[error(
        "the map {map} is full at {capacity} entries: raise its size in the KubeProxyReplacement's `maps`, or remove \
         Services"
    )]
    MapFull {
        /// Name of the map.
        map: &'static str,
        /// Its capacity.
        capacity: u32,
    },
    /// Netfilter did not answer, or would not.
    #[error(
        "netfilter's connections cannot be handled: does the kernel have nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)?"
    )]
    Netfilter(#[source] crate::netfilter::Error),
    /// A map could not be read or written.
    #[error("cannot access the map {map}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: aya::maps::MapError,
    },
    /// Maps are there, and no programs that have them.
    #[error("no program of this node's datapath is loaded: is the agent starting, or was it removed just now?")]
    NotLive,
    /// The programs that run are not of this build.
    #[error(
        "the programs that run on this node are of another version: use the kpr that came with the agent which loaded them"
    )]
    OtherVersion,
    /// The object lacks a map or program that this agent needs: agent and object were built from different sources.
    #[error("the eBPF object has no {0}: build the agent with `cargo xtask build`")]
    Missing(&'static str),
}
