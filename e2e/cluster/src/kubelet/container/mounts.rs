//! What a container finds where. Pure, but for the directories that it makes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use crate::testbed::Host;

/// A file or directory of this machine, and where the container has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) read_only: bool,
}

/// Where things of a node and a pod are on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) host: &'a Host,
    /// The container's own directory.
    pub(super) directory: &'a Path,
    /// The pod's token and what comes with it.
    pub(super) service_account: &'a Path,
}

/// The mounts of a container, in the order in which they are made.
pub(super) fn of(spec: &PodSpec, container: &Container, places: &Places<'_>) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        ensure!(
            mount.sub_path.is_none() && mount.sub_path_expr.is_none(),
            "the test cluster's kubelet does not know subPath"
        );
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        let volume = volume.with_context(|| format!("there is no volume {}", mount.name))?;
        mounts.push(Mount {
            source: source(volume, places)?,
            target: PathBuf::from(&mount.mount_path),
            read_only: mount.read_only.unwrap_or(false),
        });
    }
    // What is below another mount comes after it.
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

fn source(volume: &Volume, places: &Places<'_>) -> Result<PathBuf> {
    if let Some(path) = &volume.host_path {
        return on_node(Path::new(&path.path), path.type_.as_deref().unwrap_or_default(), places);
    }
    if volume.empty_dir.is_some() || volume.config_map.is_some() {
        return made(own(places.directory, volume));
    }
    let projected = volume
        .projected
        .as_ref()
        .and_then(|projected| projected.sources.as_ref());
    if projected.is_some_and(|sources| sources.iter().any(|source| source.service_account_token.is_some())) {
        return Ok(places.service_account.to_owned());
    }
    bail!(
        "the volume {}: the test cluster's kubelet knows hostPath, emptyDir, configMap and a service account's token",
        volume.name
    )
}

/// Where a volume is that lives as long as its pod, whose container has this directory.
pub(super) fn own(container: &Path, volume: &Volume) -> PathBuf {
    container.join("volumes").join(&volume.name)
}

/// A path of the node. Nodes share this machine's /proc and modules, and have a cgroup, a bpffs and files of their own.
fn on_node(path: &Path, kind: &str, places: &Places<'_>) -> Result<PathBuf> {
    let host = places.host;
    for (prefix, own) in [
        ("/sys/fs/cgroup", host.cgroup.path()),
        ("/sys/fs/bpf", host.bpffs.as_path()),
    ] {
        if let Ok(below) = path.strip_prefix(prefix) {
            // Joined to nothing, a path would end with a slash.
            return Ok(own.join(below).components().collect());
        }
    }
    if [
        "/proc",
        "/lib/modules",
        "/run/netns",
        "/var/run/netns",
        "/sys/kernel/btf",
    ]
    .iter()
    .any(|shared| path.starts_with(shared))
    {
        return Ok(path.to_owned());
    }
    if path == Path::new("/run/kpr") {
        return made(host.agent_run_dir());
    }
    let own = host.dir.join("files").join(path.strip_prefix("/").unwrap_or(path));
    match kind {
        "DirectoryOrCreate" => made(own),
        "FileOrCreate" => {
            if let Some(parent) = own.parent() {
                made(parent.to_owned())?;
            }
            if !own.exists() {
                std::fs::write(&own, "").with_context(|| format!("make {}", own.display()))?;
            }
            Ok(own)
        }
        _ if own.exists() => Ok(own),
        _ => bail!("the node {} has no {}", host.spec.name, path.display()),
    }
}

fn made(directory: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    Ok(directory)
}
