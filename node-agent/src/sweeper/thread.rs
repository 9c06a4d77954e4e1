//! The thread that sweeps.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kpr_abi::{V4, V6};
use tracing::{debug, error};

use super::{Control, Findings, Pace, control::Wake};
use crate::{
    datapath::{Error, FlowTable, MapFamily, Options, Sweep, Timeouts, flow_clock},
    observe::{Task, Tasks},
    watch::chain,
};

/// From the start to the first sweep, which also counts the flows that an earlier agent left.
const FIRST: Duration = Duration::from_secs(5);
/// Between two sweeps, however great the hurry.
const BREATH: Duration = Duration::from_secs(1);

/// The running thread. Dropping it ends the thread, after the sweep that is under way.
#[derive(Debug)]
pub struct Sweeper {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.control.end();
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            error!("the thread that forgets idle flows has failed");
        }
    }
}

/// Starts the thread. It does nothing before it is told that there is a datapath.
pub fn spawn(control: Arc<Control>, options: &Options, tasks: &Tasks) -> io::Result<Sweeper> {
    let worker = Worker {
        control: Arc::clone(&control),
        bpffs_root: options.bpffs_root.clone(),
        task: tasks.register("sweep-flows"),
    };
    let thread = thread::Builder::new()
        .name("sweeper".into())
        .spawn(move || worker.work())?;
    Ok(Sweeper {
        control,
        thread: Some(thread),
    })
}

struct Worker {
    control: Arc<Control>,
    bpffs_root: PathBuf,
    task: Task,
}

impl Worker {
    fn work(self) {
        let mut pace = Pace::default();
        let (mut earliest, mut due) = (Instant::now() + BREATH, Instant::now() + FIRST);
        loop {
            let hurried = match self.control.wait(earliest, due) {
                Wake::Ended => return,
                Wake::On => {
                    pace = Pace::default();
                    due = Instant::now() + FIRST;
                    continue;
                }
                Wake::Due { hurried } => hurried,
            };
            let began = Instant::now();
            match self.sweep(hurried) {
                Ok([v4, v6]) => {
                    let took = began.elapsed();
                    let pause = pace.after(&[v4, v6], took, hurried);
                    debug!(?v4, ?v6, ?took, ?pause, "idle flows swept");
                    self.task.succeeded(Timestamp::now());
                    self.control.report(Findings {
                        number: 0,
                        at: Timestamp::now(),
                        took,
                        pause,
                        v4,
                        v6,
                    });
                }
                Err(failed) => {
                    let message = chain(&failed);
                    if self.task.failed(Timestamp::now(), &message) {
                        error!("idle flows cannot be swept, trying again: {message}");
                    }
                }
            }
            earliest = Instant::now() + BREATH;
            due = Instant::now() + pace.pause();
        }
    }

    /// Opens the tables anew each time: a reload may have put others in their place, and a removal must find nobody who holds them.
    fn sweep(&self, hurried: bool) -> Result<[Sweep; 2], Error> {
        let timeouts = if hurried || self.control.is_short_of_ports() {
            Timeouts::SHORT_OF_PORTS
        } else {
            Timeouts::default()
        };
        let v4 = self.table::<V4>()?.sweep(flow_clock(), &timeouts)?;
        let v6 = self.table::<V6>()?.sweep(flow_clock(), &timeouts)?;
        Ok([v4, v6])
    }

    fn table<F: MapFamily>(&self) -> Result<FlowTable<F>, Error> {
        if self.control.counts_connections() {
            FlowTable::open_with_loads(&self.bpffs_root)
        } else {
            FlowTable::open(&self.bpffs_root)
        }
    }
}
