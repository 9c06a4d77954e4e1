//! The cgroup whose processes' sockets are led to backends.

use super::super::{cgroup2_mounts, pins::Pins, sys};
use std::{
    fs,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// A program that is on it whenever sockets are led.
const PROGRAM: &str = "kpr_connect4";

/// The directory of the cgroup that the link pinned under `bpffs_root` is on; none: there is no such link, or no mount shows that directory.
pub fn socket_cgroup(bpffs_root: &Path) -> Option<PathBuf> {
    let link = sys::open_pin(&Pins::new(bpffs_root).cgroup_link(PROGRAM)).ok()?;
    let number = sys::link_info(link.as_fd()).ok()?.cgroup()?;
    cgroup2_mounts().into_iter().find_map(|mount| of_number(mount, number))
}

/// The directory of this number, which is its inode's, here or below.
fn of_number(root: PathBuf, number: u64) -> Option<PathBuf> {
    let mut waiting = vec![root];
    while let Some(directory) = waiting.pop() {
        if fs::metadata(&directory).is_ok_and(|metadata| metadata.ino() == number) {
            return Some(directory);
        }
        // One that was removed meanwhile has nothing below.
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        waiting.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    None
}
