//! Why sockets could not be looked at, or closed.

use std::{io, path::PathBuf};

/// Errors of a pass over the sockets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A netlink call failed.
    #[error("cannot {what} (netlink SOCK_DIAG)")]
    Netlink {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An answer of the kernel cannot be read.
    #[error("the kernel's list of sockets cannot be read: {0}")]
    Answer(String),
    /// Which processes there are, or a namespace of one, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// File or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A network namespace cannot be entered.
    #[error("cannot enter a network namespace: the agent needs the capability SYS_ADMIN")]
    Enter(#[source] io::Error),
    /// The memory of where sockets were led cannot be read.
    #[error(transparent)]
    Peers(#[from] crate::datapath::Error),
}
