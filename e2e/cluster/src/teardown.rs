//! Removes everything that a cluster has on the machine, by name alone. So the same code serves a normal end, an
//! error, a signal, and the sweep after a run that was killed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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

/// How often to try again to empty a directory.
const REMOVALS: usize = 8;

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
    // Last, because its state file is what a sweep finds the rest by. And moved away first: whoever still writes into
    // it, while an interrupt takes the cluster down, finds it gone.
    let gone = gone(id);
    match fs::rename(&run_dir, &gone) {
        Ok(()) => remove_files(&gone),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {}", run_dir.display())),
    }
}

/// A file may appear while the directory is being emptied, from a program that opened the directory before.
fn remove_files(directory: &Path) -> Result<()> {
    let mut result = fs::remove_dir_all(directory);
    for _ in 0..REMOVALS {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => result = fs::remove_dir_all(directory),
            _ => break,
        }
    }
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Where the run directory goes while it is removed.
fn gone(id: &ClusterId) -> PathBuf {
    id.run_dir().with_file_name(format!(".gone-{id}"))
}

/// What there still is of cluster `id`: nothing, after [`remove`].
pub fn leftovers(id: &ClusterId) -> Vec<String> {
    let mut found: Vec<String> = namespaces(id)
        .into_iter()
        .map(|name| format!("network namespace {name}"))
        .collect();
    let cgroup = cgroup::mount_point().map(|mount| mount.join(id.cgroup())).ok();
    for path in cgroup.into_iter().chain([id.run_dir(), gone(id)]) {
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
    sweep_fragments()?;
    let mut swept = Vec::new();
    for (id, owner) in clusters()? {
        if !owner.is_alive() {
            remove(&id).with_context(|| format!("sweep cluster {id}"))?;
            swept.push(id);
        }
    }
    Ok(swept)
}

/// Removes directories that a process left when it was killed while it claimed or removed a cluster: hidden ones, with
/// nothing but files.
fn sweep_fragments() -> Result<()> {
    for entry in fs::read_dir(STATE_ROOT).into_iter().flatten().flatten() {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden && Owner::read(&entry.path()).is_some_and(|owner| !owner.is_alive()) {
            remove_files(&entry.path())?;
        }
    }
    Ok(())
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
