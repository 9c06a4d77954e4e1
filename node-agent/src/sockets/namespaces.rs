//! The network namespaces of a cgroup's processes: a pod's sockets are listed only inside its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

use super::Error;

/// What is below `/proc`, where a process shows its namespaces.
const NET: &str = "ns/net";

/// A network namespace, and the processes in it, any of which leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    inode: u64,
    doors: Vec<PathBuf>,
}

impl Namespace {
    /// The namespace of this process.
    pub fn own() -> Result<Self, Error> {
        let door = PathBuf::from("/proc/self").join(NET);
        let inode = inode(&door).map_err(|source| Error::Read {
            path: door.clone(),
            source,
        })?;
        Ok(Self {
            inode,
            doors: vec![door],
        })
    }

    /// Its number, as `readlink /proc/PID/ns/net` shows it.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Puts this thread into it. False: its last process has ended, and no socket of it is left.
    pub fn enter(&self) -> Result<bool, Error> {
        for door in &self.doors {
            match open(door, self.inode) {
                Ok(Some(file)) => {
                    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Enter(errno.into()))?;
                    return Ok(true);
                }
                Ok(None) => {}
                Err(source) => {
                    return Err(Error::Read {
                        path: door.clone(),
                        source,
                    });
                }
            }
        }
        Ok(false)
    }
}

/// The namespaces of all processes in the cgroup and below it, each once, ordered by number. Processes that this process
/// cannot see (of a PID namespace outside its own) are not among them.
pub fn of_cgroup(root: &Path) -> Result<Vec<Namespace>, Error> {
    let mut found = BTreeMap::<u64, Vec<PathBuf>>::new();
    for pid in processes(root)? {
        let door = Path::new("/proc").join(pid.to_string()).join(NET);
        match inode(&door) {
            Ok(inode) => found.entry(inode).or_default().push(door),
            Err(error) if has_ended(&error) => {}
            Err(source) => return Err(Error::Read { path: door, source }),
        }
    }
    let namespace = |(inode, doors)| Namespace { inode, doors };
    Ok(found.into_iter().map(namespace).collect())
}

/// The processes in the cgroup and below it.
fn processes(root: &Path) -> Result<Vec<u32>, Error> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        let list = directory.join("cgroup.procs");
        match fs::read_to_string(&list) {
            Ok(list) => found.extend(visible(&list)),
            // A cgroup that was removed meanwhile; or a threaded one, whose processes stand in the one above it.
            Err(error) if has_ended(&error) || error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(source) => return Err(Error::Read { path: list, source }),
        }
        match fs::read_dir(&directory) {
            Ok(entries) => waiting.extend(
                entries
                    .filter_map(Result::ok)
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            ),
            Err(error) if has_ended(&error) => {}
            Err(source) => {
                return Err(Error::Read {
                    path: directory,
                    source,
                });
            }
        }
    }
    Ok(found)
}

/// The processes of a `cgroup.procs`. 0 stands for one that is in no PID namespace of the reader's.
fn visible(list: &str) -> impl Iterator<Item = u32> {
    list.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|&pid| pid != 0)
}

fn inode(door: &Path) -> io::Result<u64> {
    fs::metadata(door).map(|metadata| metadata.ino())
}

/// `None`: the process has ended, or its number is another's now.
fn open(door: &Path, inode: u64) -> io::Result<Option<File>> {
    match File::open(door) {
        Ok(file) => Ok((file.metadata()?.ino() == inode).then_some(file)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a process or cgroup that has just gone answers.
fn has_ended(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_subtree_are_found_whatever_the_depth() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("pods/pod-1");
        fs::create_dir_all(&pod).unwrap();
        fs::write(root.path().join("cgroup.procs"), "1\n").unwrap();
        fs::write(pod.join("cgroup.procs"), "20\n0\n21\n").unwrap();
        let mut found = processes(root.path()).unwrap();
        found.sort_unstable();
        assert_eq!(found, [1, 20, 21], "0 is a process that cannot be seen from here");
    }

    #[test]
    fn processes_that_share_a_namespace_are_several_doors_to_one() {
        let root = tempfile::tempdir().unwrap();
        let own = std::process::id();
        // No process has the number u32::MAX: as if it had just ended.
        fs::write(
            root.path().join("cgroup.procs"),
            format!("{own}\n{own}\n{}\n", u32::MAX),
        )
        .unwrap();
        let found = of_cgroup(root.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].inode(), Namespace::own().unwrap().inode());
        assert_eq!(found[0].doors.len(), 2);
    }

    #[test]
    fn a_namespace_whose_processes_have_ended_is_not_entered() {
        let gone = Namespace {
            inode: 1,
            doors: vec![format!("/proc/{}/ns/net", u32::MAX).into(), "/proc/self/ns/net".into()],
        };
        assert!(!gone.enter().unwrap());
    }
}
