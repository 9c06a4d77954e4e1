//! The agent's directory: a lock that only one agent of a node can hold, and the socket of the local API.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;

/// Name of the local API's socket in the run directory.
pub const SOCKET: &str = "agent.sock";

const LOCK: &str = "agent.lock";

/// Why the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDirError {
    /// Another process holds the lock.
    #[error(
        "another kpr-node-agent runs on this node (it holds {lock}): stop it first, or give this one its own --run-dir and --bpffs-root"
    )]
    Held {
        /// The lock file.
        lock: PathBuf,
    },
    /// Neither made nor opened.
    #[error("cannot use {path}: {source}; name a directory that this user may write to with --run-dir")]
    Io {
        /// What could not be made or opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The run directory of this process, which no other agent can have at the same time. The kernel lets go of the lock
/// when the process ends, however it ends.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl RunDir {
    /// Makes the directory if it is absent, and takes its lock.
    pub fn claim(path: &Path) -> Result<Self, RunDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RunDirError::Io { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(failed(path))?;
        let lock = path.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(failed(&lock))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Self {
                path: path.to_owned(),
                _lock: held,
            }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(RunDirError::Held { lock }),
            Err((_, errno)) => Err(RunDirError::Io {
                path: lock,
                source: errno.into(),
            }),
        }
    }

    /// Removes the directory too, as far as it holds nothing of others: at an orderly uninstall.
    pub fn remove(self) {
        let path = self.path.clone();
        // Best effort, as in `drop`: what is in use by another one stays.
        let _ = fs::remove_file(path.join(LOCK));
        drop(self);
        let _ = fs::remove_dir(&path);
    }

    /// Listens on the socket that [`SOCKET`] names, for this user only. A socket that a killed agent left behind is
    /// replaced in one step, so that no client ever sees one that is open to others.
    pub fn listen(&self) -> Result<UnixListener, RunDirError> {
        let socket = self.path.join(SOCKET);
        let fresh = self.path.join(format!("{SOCKET}.new"));
        let listen = || {
            remove_if_present(&fresh)?;
            let listener = UnixListener::bind(&fresh)?;
            fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            fs::rename(&fresh, &socket)?;
            Ok(listener)
        };
        listen().map_err(|source| RunDirError::Io {
            path: socket.clone(),
            source,
        })
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Best effort: the next agent replaces what is left. The lock file stays: removing it would let a third
        // process lock a new file of the same name while a second one holds the old one.
        let _ = remove_if_present(&self.path.join(SOCKET));
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_on_the_same_node_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let first = RunDir::claim(&path).unwrap();
        let refused = RunDir::claim(&path).unwrap_err();
        assert!(matches!(refused, RunDirError::Held { .. }), "{refused}");
        drop(first);
        RunDir::claim(&path).unwrap();
    }

    #[tokio::test]
    async fn the_socket_is_private_replaces_a_stale_one_and_is_removed_at_exit() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(SOCKET);
        // A killed agent leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());

        let run = RunDir::claim(dir.path()).unwrap();
        let _listener = run.listen().unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        tokio::net::UnixStream::connect(&socket).await.unwrap();
        drop(run);
        assert!(!socket.exists());
    }

    #[test]
    fn an_uninstall_removes_the_directory_but_nothing_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        RunDir::claim(&path).unwrap().remove();
        assert!(!path.exists());
        let run = RunDir::claim(&path).unwrap();
        fs::write(path.join("notes"), "mine").unwrap();
        run.remove();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn a_run_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = RunDir::claim(&file.path().join("run")).unwrap_err().to_string();
        assert!(error.contains("--run-dir") && error.contains("/run"), "{error}");
    }
}
