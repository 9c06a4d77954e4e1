//! What has to be there before anything is loaded; each failure is one sentence that says what to do.

use super::{Error, Options};
use nix::sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};
use std::path::Path;

/// Checks privileges, BTF, cgroup2 and bpffs.
pub fn preflight(options: &Options) -> Result<(), Error> {
    if !has_capabilities()? {
        return Err(Error::Privileges);
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Error::NoBtf);
    }
    if !is_on(&options.cgroup_root, CGROUP2_SUPER_MAGIC) {
        return Err(Error::NotCgroup2 {
            path: options.cgroup_root.clone(),
        });
    }
    // The directory itself is made later: its nearest ancestor that exists tells.
    let existing = options.bpffs_root.ancestors().find(|path| path.exists());
    if !existing.is_some_and(|path| is_on(path, BPF_FS_MAGIC)) {
        return Err(Error::NotBpffs {
            path: options.bpffs_root.clone(),
        });
    }
    Ok(())
}

/// The mount point of cgroup2 on this machine, in the unified as in the hybrid layout.
pub fn cgroup2_mount() -> Option<std::path::PathBuf> {
    cgroup2_mounts().into_iter().next()
}

/// Every mount point of it: a container may have its own and the node's.
pub(super) fn cgroup2_mounts() -> Vec<std::path::PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        let (_, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| target.into())
    };
    mounts.lines().filter_map(mount).collect()
}

fn is_on(path: &Path, kind: FsType) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == kind)
}

/// CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or CAP_SYS_ADMIN with CAP_NET_ADMIN (capabilities(7)), among the effective ones.
fn has_capabilities() -> Result<bool, Error> {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let status = std::fs::read_to_string("/proc/self/status").map_err(|source| Error::Io {
        what: "read /proc/self/status".into(),
        source,
    })?;
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or_default();
    let has = |bits| effective & bits == bits;
    Ok(has(NET_ADMIN) && (has(SYS_ADMIN) || has(BPF | PERFMON)))
}
