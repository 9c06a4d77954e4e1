//! Closes sockets that are connected to a backend that is gone: UDP, and TCP if asked.
//!
//! A connected UDP socket is led to its backend once, at `connect(2)`; when the backend goes, its datagrams go nowhere and
//! nobody tells its program. Closing the socket (`SOCK_DESTROY`) does: its next receive fails with ECONNABORTED (a send with
//! EDESTADDRREQ), and a program that connects again is led to a backend that is there. kube-proxy deletes conntrack entries for
//! the same end. A TCP connection to a gone backend ends by itself, but may take a quarter of an hour (`tcp_retries2`), or for ever
//! without keep-alive: with `socketLB.terminateStaleTCP` it is reset once its backend is gone, and not while it terminates.
//!
//! ```text
//! core ── Orders: which backends may stay ──► thread ── Pass: each namespace's sockets ──► diag: dump, destroy
//! ```
//!
//! * [`Kept`] decides, without I/O: a socket goes if its backend is not kept, and if a service led it there.
//! * [`Orders`] is what the core tells the thread, and what the thread has to report.
//! * [`spawn`] starts the thread. Entering a namespace changes the thread that does it, so it is one of its own.

pub mod diag;
mod error;
mod kept;
pub mod namespaces;
mod orders;
mod pass;
mod thread;

pub use error::Error;
pub use kept::{Kept, Led};
pub use orders::{Findings, Orders};
pub use pass::{Outcome, Pass};
pub use thread::{Closer, spawn};
