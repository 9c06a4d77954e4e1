//! Volumes that hold ConfigMaps. As kubelets have it, a file is a link through `..data`, and a change puts another directory behind
//! that: whoever reads sees all of the change or nothing.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    pin::pin,
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, future::join_all};
use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};

use super::mounts;

/// The link to the directory of what is valid.
const DATA: &str = "..data";

/// A volume of a pod.
struct Volume {
    maps: Api<ConfigMap>,
    source: ConfigMapVolumeSource,
    /// Its files on this machine.
    directory: PathBuf,
}

/// Fills such volumes of the pod, whose container has this directory.
pub(super) async fn fill(client: &Client, pod: &Pod, container: &Path) -> Result<()> {
    for volume in volumes(client, pod, container) {
        let name = &volume.source.name;
        let map = volume.maps.get_opt(name).await;
        volume.publish(map.with_context(|| format!("read the ConfigMap {name}"))?.as_ref())?;
    }
    Ok(())
}

/// Brings changes of the ConfigMaps into the volumes, until this is dropped.
pub(super) async fn follow(client: &Client, pod: &Pod, container: &Path) {
    let volumes = volumes(client, pod, container);
    join_all(volumes.iter().map(Volume::follow)).await;
}

fn volumes(client: &Client, pod: &Pod, container: &Path) -> Vec<Volume> {
    let namespace = pod.namespace().unwrap_or_default();
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter_map(|volume| {
        Some(Volume {
            maps: Api::namespaced(client.clone(), &namespace),
            source: volume.config_map.clone()?,
            directory: mounts::own(container, volume),
        })
    })
    .collect()
}

impl Volume {
    async fn follow(&self) {
        let mut changes = pin!(watcher::watch_object(self.maps.clone(), &self.source.name).default_backoff());
        while let Some(change) = changes.next().await {
            let published = change
                .map_err(anyhow::Error::from)
                .and_then(|map| self.publish(map.as_ref()));
            if let Err(error) = published {
                tracing::warn!("the volume {} stays as it is: {error:#}", self.directory.display());
            }
        }
    }

    /// Puts what the ConfigMap holds in place of what is there.
    fn publish(&self, map: Option<&ConfigMap>) -> Result<()> {
        let ConfigMapVolumeSource {
            name,
            optional,
            items,
            default_mode,
            default_user,
        } = &self.source;
        ensure!(
            items.is_none() && default_user.is_none() && default_mode.is_none_or(|mode| mode == 0o644),
            "the test cluster's kubelet does not know items, modes and users of ConfigMaps"
        );
        ensure!(
            map.is_some() || optional.unwrap_or(false),
            "there is no ConfigMap {name}"
        );
        let version = map.and_then(ConfigMap::resource_version).unwrap_or_default();
        let swapped = swap(&self.directory, &format!("..v{version}"), &files(map));
        swapped.with_context(|| format!("write {}", self.directory.display()))
    }
}

fn files(map: Option<&ConfigMap>) -> BTreeMap<&str, &[u8]> {
    let text = map.iter().flat_map(|map| map.data.iter().flatten());
    let binary = map.iter().flat_map(|map| map.binary_data.iter().flatten());
    text.map(|(name, content)| (name.as_str(), content.as_bytes()))
        .chain(binary.map(|(name, content)| (name.as_str(), content.0.as_slice())))
        .collect()
}

/// Makes `files` all that there is in `directory`. They are in a directory of their own in it, which has the name of their `version`.
fn swap(directory: &Path, version: &str, files: &BTreeMap<&str, &[u8]>) -> io::Result<()> {
    let data = directory.join(DATA);
    let old = fs::read_link(&data).ok();
    if old.as_deref() == Some(Path::new(version)) {
        return Ok(());
    }
    let new = directory.join(version);
    fs::create_dir_all(&new)?;
    for (name, content) in files {
        fs::write(new.join(name), content)?;
    }
    let prepared = directory.join("..data_tmp");
    symlink(version, &prepared)?;
    fs::rename(prepared, data)?;
    for name in files.keys() {
        match symlink(Path::new(DATA).join(name), directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !files.contains_key(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    old.map_or(Ok(()), |old| fs::remove_dir_all(directory.join(old)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The names of what is in a directory, and the text of what can be read.
    fn seen(directory: &Path) -> Vec<(String, Option<String>)> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut seen: Vec<_> = entries
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(entry.path()).ok())
            })
            .collect();
        seen.sort();
        seen
    }

    fn directory(name: &str) -> (String, Option<String>) {
        (name.to_owned(), None)
    }

    fn file(name: &str, content: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(content.to_owned()))
    }

    #[test]
    fn a_volume_has_what_the_newest_version_has_and_nothing_older() {
        let volume = tempfile::tempdir().expect("a directory");
        let volume = volume.path();
        let versions: [(&str, &[(&str, &str)]); 4] = [
            ("..1", &[("level", "info")]),
            ("..1", &[("level", "never read: the version is there")]),
            ("..2", &[("level", "debug"), ("more", "x")]),
            ("..3", &[("more", "y")]),
        ];
        let expected = [
            vec![directory("..1"), directory(DATA), file("level", "info")],
            vec![directory("..1"), directory(DATA), file("level", "info")],
            vec![
                directory("..2"),
                directory(DATA),
                file("level", "debug"),
                file("more", "x"),
            ],
            vec![directory("..3"), directory(DATA), file("more", "y")],
        ];
        for ((version, files), expected) in versions.into_iter().zip(expected) {
            let files = files.iter().map(|(name, content)| (*name, content.as_bytes()));
            swap(volume, version, &files.collect()).expect("written");
            assert_eq!(seen(volume), expected, "{version}");
            assert_eq!(fs::read_link(volume.join(DATA)).expect("a link"), Path::new(version));
        }
    }

    #[test]
    fn text_and_bytes_of_a_config_map_are_files() {
        let map: ConfigMap =
            serde_json::from_value(json!({"data": {"level": "info"}, "binaryData": {"raw": "AQI="}})).expect("a map");
        let expected: [(&str, &[u8]); 2] = [("level", b"info"), ("raw", &[1, 2])];
        assert_eq!(files(Some(&map)), BTreeMap::from(expected));
        assert!(files(None).is_empty());
    }
}
