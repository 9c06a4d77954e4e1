//! The thread that closes sockets when it is told that backends are gone.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, warn};

use super::{Error, Led, Orders, Outcome, Pass, diag::Diag, namespaces::Namespace, orders::Wake};
use crate::{
    datapath::{Options, Peers},
    model::Protocol,
    observe::{Task, Tasks},
    watch::chain,
};

/// A socket whose `connect(2)` was under way while its backend went may be listed only now. Programs run for microseconds;
/// this is generous.
const SETTLED: Duration = Duration::from_secs(1);
/// From a pass that failed to the next.
const RETRY: Duration = Duration::from_secs(5);

/// The running thread. Dropping it ends the thread, after the pass that is under way.
#[derive(Debug)]
pub struct Closer {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.orders.end();
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            error!("the thread that closes stale sockets has failed");
        }
    }
}

/// Starts the thread. It does nothing before the first order.
pub fn spawn(orders: Arc<Orders>, options: &Options, tasks: &Tasks) -> io::Result<Closer> {
    let worker = Worker {
        orders: Arc::clone(&orders),
        cgroup_root: options.cgroup_root.clone(),
        bpffs_root: options.bpffs_root.clone(),
        task: tasks.register("close-stale-sockets"),
    };
    let thread = thread::Builder::new()
        .name("sockets".into())
        .spawn(move || worker.work())?;
    Ok(Closer {
        orders,
        thread: Some(thread),
    })
}

struct Worker {
    orders: Arc<Orders>,
    cgroup_root: PathBuf,
    bpffs_root: PathBuf,
    task: Task,
}

impl Worker {
    fn work(self) {
        let mut again = None;
        loop {
            let wake = self.orders.wait(again);
            if wake == Wake::Ended {
                return;
            }
            again = match self.pass() {
                Ok(true) => {
                    self.task.succeeded(Timestamp::now());
                    (wake == Wake::Due).then(|| Instant::now() + SETTLED)
                }
                Ok(false) => {
                    warn!(
                        "sockets whose backend goes are left open: the kernel was built without \
                         CONFIG_INET_DIAG_DESTROY"
                    );
                    return;
                }
                Err(failed) => {
                    let message = chain(&failed);
                    if self.task.failed(Timestamp::now(), &message) {
                        error!("stale sockets cannot be closed, trying again: {message}");
                    }
                    Some(Instant::now() + RETRY)
                }
            };
        }
    }

    /// False: this kernel cannot close sockets.
    fn pass(&self) -> Result<bool, Error> {
        let own = Namespace::own()?;
        let can_close = Diag::open()?.can_destroy(Protocol::Udp)?;
        if !can_close {
            self.orders.report(0, false);
            return Ok(false);
        }
        let pass = Pass {
            cgroup_root: &self.cgroup_root,
            own: &own,
            // By its pin each time: a reload may have put another map in its place.
            led: Peers::open(&self.bpffs_root)?,
        };
        let Outcome {
            closed,
            unsupported,
            failure,
        } = pass.run(|| self.orders.kept());
        self.orders.report(closed, !unsupported);
        failure.map_or(Ok(!unsupported), Err)
    }
}

impl Led for Peers {
    fn was_led(&self, cookie: u64, backend: std::net::SocketAddr) -> Result<bool, Error> {
        Ok(Self::was_led(self, cookie, backend)?)
    }
}
