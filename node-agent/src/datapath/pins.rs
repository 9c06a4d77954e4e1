//! Where maps and links are pinned, so that they outlive the agent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The directories of one node's pins, under a root on a bpffs. The ABI version is part of the path: an agent with another
/// layout starts with maps of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// The pins under `bpffs_root`.
    pub fn new(bpffs_root: &Path) -> Self {
        Self {
            root: bpffs_root.join(format!("v{}", kpr_abi::ABI_VERSION)),
        }
    }

    /// Makes the directories.
    pub(super) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.maps())?;
        fs::create_dir_all(self.links())
    }

    /// Where the map of this name is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where the link of a program to the cgroup is pinned.
    pub(super) fn cgroup_link(&self, program: &str) -> PathBuf {
        self.links().join(format!("cgroup-{program}"))
    }

    /// Where the link of a program to a device is pinned. By index: names may have dots, pins may not.
    pub(super) fn device_link(&self, ifindex: u32, program: &str) -> PathBuf {
        self.links().join(format!("tcx-{ifindex}-{program}"))
    }

    /// Where the link of the XDP program to a device is pinned, by how it is attached ("native", "generic").
    pub(super) fn xdp_link(&self, ifindex: u32, mode: &str) -> PathBuf {
        self.links().join(format!("xdp-{ifindex}-{mode}"))
    }

    /// The interface indices that have pinned links of packet programs.
    pub(super) fn devices(&self) -> io::Result<Vec<u32>> {
        self.devices_of("tcx-")
    }

    /// The same of the XDP program.
    pub(super) fn xdp_devices(&self) -> io::Result<Vec<u32>> {
        self.devices_of("xdp-")
    }

    /// The names of all pinned links.
    pub(super) fn link_names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.links())?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn devices_of(&self, prefix: &str) -> io::Result<Vec<u32>> {
        let mut devices = Vec::new();
        for entry in fs::read_dir(self.links())? {
            let name = entry?.file_name();
            let index: Option<u32> = name
                .to_str()
                .and_then(|name| name.strip_prefix(prefix)?.split('-').next()?.parse().ok());
            devices.extend(index);
        }
        devices.sort_unstable();
        devices.dedup();
        Ok(devices)
    }

    /// Removes links first (programs stop running), then maps, then the directories, whatever ABI version they are of.
    pub(super) fn remove_all(bpffs_root: &Path) -> io::Result<()> {
        let versions = match fs::read_dir(bpffs_root) {
            Ok(versions) => versions,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for version in versions {
            let version = version?.path();
            for kind in ["links", "maps"] {
                remove_files(&version.join(kind))?;
            }
            fs::remove_dir(&version)?;
        }
        fs::remove_dir(bpffs_root)
    }

    fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }
}

fn remove_files(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(directory)
}
