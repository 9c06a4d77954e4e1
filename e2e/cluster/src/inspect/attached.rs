//! Which eBPF programs are attached to a cgroup or a device, asked of the kernel itself (`BPF_PROG_QUERY`).

use std::{fs::File, io, os::fd::AsRawFd as _, path::Path};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

/// `enum bpf_cmd` in include/uapi/linux/bpf.h.
const BPF_PROG_QUERY: libc::c_long = 16;

/// `enum bpf_attach_type`: the hooks of a cgroup that concern sockets, packets and sysctls.
const CGROUP_HOOKS: [(u32, &str); 20] = [
    (0, "cgroup/inet_ingress"),
    (1, "cgroup/inet_egress"),
    (2, "cgroup/inet_sock_create"),
    (3, "cgroup/sock_ops"),
    (8, "cgroup/inet4_bind"),
    (9, "cgroup/inet6_bind"),
    (10, "cgroup/inet4_connect"),
    (11, "cgroup/inet6_connect"),
    (12, "cgroup/inet4_post_bind"),
    (13, "cgroup/inet6_post_bind"),
    (14, "cgroup/udp4_sendmsg"),
    (15, "cgroup/udp6_sendmsg"),
    (18, "cgroup/sysctl"),
    (19, "cgroup/udp4_recvmsg"),
    (20, "cgroup/udp6_recvmsg"),
    (21, "cgroup/getsockopt"),
    (22, "cgroup/setsockopt"),
    (29, "cgroup/inet4_getpeername"),
    (30, "cgroup/inet6_getpeername"),
    (34, "cgroup/inet_sock_release"),
];

/// The tcx hooks of a device (Linux 6.6).
const TCX_HOOKS: [(u32, &str); 2] = [(46, "tcx/ingress"), (47, "tcx/egress")];

/// The head of `union bpf_attr` for the query.
#[repr(C)]
#[derive(Default)]
struct ProgQuery {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Hooks of the cgroup at `path` that have programs, one name per program.
pub(super) fn to_cgroup(path: &Path) -> Result<Vec<String>> {
    let directory = File::open(path).with_context(|| format!("open cgroup {}", path.display()))?;
    let target = u32::try_from(directory.as_raw_fd())?;
    programs(target, &CGROUP_HOOKS)
}

/// tcx hooks of `device`, in the network namespace of this thread, that have programs.
pub(super) fn to_device(device: &str) -> Result<Vec<String>> {
    let target = nix::net::if_::if_nametoindex(device).with_context(|| format!("find device {device}"))?;
    programs(target, &TCX_HOOKS)
}

fn programs(target: u32, hooks: &[(u32, &str)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (attach_type, name) in hooks {
        for _ in 0..count(target, *attach_type).with_context(|| format!("ask for programs at {name}"))? {
            found.push((*name).to_owned());
        }
    }
    Ok(found)
}

fn count(target: u32, attach_type: u32) -> io::Result<u32> {
    let mut query = ProgQuery {
        target,
        attach_type,
        ..ProgQuery::default()
    };
    // SAFETY: `query` has the layout of the kernel's attribute for this command, outlives the call, and its size is
    // given; with no room for ids the kernel only fills in the count.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_QUERY,
            &raw mut query,
            std::mem::size_of::<ProgQuery>(),
        )
    };
    match Errno::result(result) {
        Ok(_) => Ok(query.prog_count),
        // A kernel without this hook has nothing attached to it; tcx says ENOENT for an empty hook.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
