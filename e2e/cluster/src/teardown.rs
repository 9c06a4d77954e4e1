//! Removes everything that a cluster has on the machine, by name alone. So the same code serves a normal end, an
//! error, a signal, and the sweep after a run that was killed.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};

use crate::{
    cgroup,
    id::{ClusterId, STATE_ROOT},
    net::NETNS_DIR,
    owner::Owner,
};

/// Name of the bpffs mount in a cluster's run directory.
pub(crate) const BPFFS: &str = "bpf";

/// Removes processes, pins, namespaces, cgroups and files of cluster `id`. Goes on after a failure, and reports the
/// first. Doing it again is harmless.
pub fn remove(id: &ClusterId) -> Result<()> {
    let run_dir = id.run_dir();
    let cgroup = cgroup::mount_point().map(|mount| mount.join(id.cgroup()));
    let steps = [
        // Processes first: they hold namespaces and pins.
        cgroup.and_then(|path| cgroup::remove_tree(&path)),
        unmount(&run_dir.join(BPFFS)),
        delete_namespaces(id),
    ];
    for step in steps {
        step?;
    }
    // Last, because its state file is what a sweep finds the rest by.
    match fs::remove_dir_all(&run_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", run_dir.display()))
        }
        _ => Ok(()),
    }
}

/// What there still is of cluster `id`: nothing, after [`remove`].
pub fn leftovers(id: &ClusterId) -> Vec<String> {
    let mut found: Vec<String> = namespaces(id)
        .into_iter()
        .map(|name| format!("network namespace {name}"))
        .collect();
    let cgroup = cgroup::mount_point().map(|mount| mount.join(id.cgroup())).ok();
    for path in cgroup.into_iter().chain([id.run_dir()]) {
        if path.exists() {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Every cluster on this machine, with the process that it belongs to.
pub fn clusters() -> Result<Vec<(ClusterId, Owner)>> {
    let entries = match fs::read_dir(STATE_ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {STATE_ROOT}")),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(ClusterId::parse);
        found.extend(id.zip(Owner::read(&entry.path())));
    }
    Ok(found)
}

/// Removes the clusters whose owner has died, and returns their names.
pub fn sweep() -> Result<Vec<ClusterId>> {
    let mut swept = Vec::new();
    for (id, owner) in clusters()? {
        if !owner.is_alive() {
            remove(&id).with_context(|| format!("sweep cluster {id}"))?;
            swept.push(id);
        }
    }
    Ok(swept)
}

/// Deletes one namespace. It may be gone already.
pub fn delete_netns(name: &str) -> Result<()> {
    let path = Path::new(NETNS_DIR).join(name);
    unmount(&path)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("delete network namespace {name}"))
        }
        _ => Ok(()),
    }
}

fn delete_namespaces(id: &ClusterId) -> Result<()> {
    let mut result = Ok(());
    for name in namespaces(id) {
        result = result.and(delete_netns(&name));
    }
    result
}

fn namespaces(id: &ClusterId) -> Vec<String> {
    let entries = fs::read_dir(NETNS_DIR).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| id.owns_netns(name))
        .collect()
}

fn unmount(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // EINVAL: not a mount point, so somebody was here before.
        Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("unmount {}", path.display())),
    }
}
