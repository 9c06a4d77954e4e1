//! Looking now and then whether the datapath is still what was made of it. Nobody else writes there, but an administrator, a tool that
//! cleans up, or a fault may: kube-proxy looks for its canary chain, and writes all rules anew every hour, for the same reason.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, warn};

use super::{
    super::{Datapath as _, Loader},
    Core, sentence,
};

/// Between checks of a small node; kube-proxy's `syncPeriod`.
pub(super) const CHECK: Duration = Duration::from_secs(30);
/// More for each frontend and backend, which are read with thousands of others and compared, so that a check takes less than a
/// thousandth of the time, whatever the size.
const CHECK_PER_ENTRY: Duration = Duration::from_millis(1);
/// And for each slot, which is read with thousands of others, and if it is one of a Maglev table filled anew to compare.
const CHECK_PER_SLOT: Duration = Duration::from_micros(100);

impl<L: Loader> Core<L> {
    pub(super) fn check(&mut self, now: Instant) {
        let Some(running) = self.running.as_mut().filter(|running| running.check_due <= now) else {
            return;
        };
        let (frontends, backends) = running.services.counts();
        let per_slot = CHECK_PER_SLOT * running.services.slots();
        running.check_due = now + CHECK + CHECK_PER_ENTRY * (frontends + backends) + per_slot;
        // Until then the next plan compares everything anyway.
        if !running.complete || !running.services.is_complete() {
            return;
        }
        let repaired = running.datapath.repair(running.placement.as_ref());
        let found = running.services.check(&mut running.datapath, now);
        let (repaired, failed) = match (repaired, found) {
            (Ok(repaired), Ok(found)) => ([repaired, found].concat(), None),
            (Ok(repaired), Err(failed)) => (repaired, Some(failed)),
            (Err(failed), Ok(found)) => (found, Some(failed)),
            (Err(failed), Err(_)) => (Vec::new(), Some(failed)),
        };
        self.repairs += repaired.len() as u64;
        for repair in &repaired {
            warn!("somebody else changed the datapath, which is repaired: {repair}");
        }
        match failed {
            None if repaired.is_empty() => self.tasks.check.succeeded(Timestamp::now()),
            // Shown as a failure until the next check finds everything in order.
            None => drop(
                self.tasks
                    .check
                    .failed(Timestamp::now(), &format!("repaired: {}", repaired.join("; "))),
            ),
            Some(failed) => {
                let message = sentence(&failed);
                if self.tasks.check.failed(Timestamp::now(), &message) {
                    error!("the datapath cannot be checked or repaired: {message}");
                }
            }
        }
        self.report_stale |= !repaired.is_empty();
    }
}
