//! The task that owns the core: waits for changes, lets them gather for a moment, and works.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Core, Loader, Snapshot};
use crate::{devices::Device, observe::NameQuestion, watch::Change};

/// How long changes gather after others were carried out: a rollout changes an EndpointSlice several times within milliseconds,
/// and one plan for all of them is cheaper than many. The first after a quiet time is carried out at once.
pub const GATHER: Duration = Duration::from_millis(20);

/// What the core is told.
pub struct Inputs {
    /// From the API server.
    pub changes: mpsc::Receiver<Change>,
    /// From the kernel; none before the first look.
    pub devices: watch::Receiver<Option<Vec<Device>>>,
    /// From whoever wants to know what frontends are called, or where a Pod is.
    pub questions: mpsc::Receiver<NameQuestion>,
}

/// Runs until `stop` is cancelled. The datapath is left as it is: it goes on without the agent.
///
/// To be given a thread of its own: it loads programs, and makes system calls by the thousand, without a pause.
pub async fn run<L: Loader>(
    mut core: Core<L>,
    mut inputs: Inputs,
    snapshots: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
) {
    // The next change waits until then for others.
    let mut until = Instant::now();
    let mut listened = core.events().wanted();
    loop {
        let due = core.work(Instant::now());
        publish(&snapshots, core.snapshot());
        tokio::select! {
            () = stop.cancelled() => return,
            Some(change) = inputs.changes.recv() => {
                core.take(change);
                gather(&mut core, &mut inputs.changes, until).await;
                until = Instant::now() + GATHER;
            }
            Ok(()) = inputs.devices.changed() => {
                let devices = inputs.devices.borrow_and_update().clone();
                if let Some(devices) = devices {
                    core.take_devices(devices);
                }
            }
            // The next work does what is to be done.
            Ok(()) = listened.changed() => {}
            Some(question) = inputs.questions.recv() => {
                core.answer(question);
            }
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            // Every source is gone, and nothing is due.
            else => stop.cancelled().await,
        }
    }
}

/// Takes what is there already, and what follows until then; not longer than [`GATHER`], however much follows.
async fn gather<L: Loader>(core: &mut Core<L>, changes: &mut mpsc::Receiver<Change>, until: Instant) {
    for _ in 0..changes.len() {
        if let Ok(change) = changes.try_recv() {
            core.take(change);
        }
    }
    if Instant::now() >= until {
        return;
    }
    while let Ok(Some(change)) = timeout_at(until, changes.recv()).await {
        core.take(change);
    }
}

/// Wakes listeners only if something is different that they may have to act on.
fn publish(snapshots: &watch::Sender<Arc<Snapshot>>, snapshot: Snapshot) {
    snapshots.send_if_modified(|current| {
        let news = !current.is_confirmed_by(&snapshot);
        *current = Arc::new(snapshot);
        news
    });
}
