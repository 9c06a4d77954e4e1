//! How a pod tells its kubelet that it is ready: one datagram per change, in the manner of `sd_notify`.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;

/// Longest datagram, in bytes.
const MAX_LENGTH: usize = 512;

/// A change of a pod's readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The pod's UID.
    pub uid: String,
    /// Whether it wants traffic.
    pub ready: bool,
}

/// The pod's end.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    socket: Option<PathBuf>,
    uid: String,
}

impl Notifier {
    /// Of the pod with this UID; without a socket nobody is told.
    pub(crate) fn new(socket: Option<PathBuf>, uid: String) -> Self {
        Self { socket, uid }
    }

    pub(crate) async fn ready(&self, ready: bool) -> io::Result<()> {
        let Some(path) = &self.socket else { return Ok(()) };
        let notice = serde_json::to_vec(&Notice {
            uid: self.uid.clone(),
            ready,
        })?;
        UnixDatagram::unbound()?.send_to(&notice, path).await.map(|_length| ())
    }
}

/// The kubelet's end.
#[derive(Debug)]
pub struct Notices {
    socket: UnixDatagram,
}

impl Notices {
    /// Listens at `path`.
    pub fn listen(path: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::bind(path)?,
        })
    }

    /// The next notice. Datagrams that are none are passed over.
    pub async fn next(&self) -> io::Result<Notice> {
        let mut buffer = [0; MAX_LENGTH];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            match serde_json::from_slice(&buffer[..length]) {
                Ok(notice) => return Ok(notice),
                Err(error) => tracing::warn!("a pod sent an unreadable notice: {error}"),
            }
        }
    }
}
