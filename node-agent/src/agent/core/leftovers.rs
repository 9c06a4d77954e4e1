//! What becomes of kube-proxy's rules while kpr serves: kept apart from, or taken away.

use std::{sync::Arc, time::Duration};

use kpr_crds::KubeProxyRules;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    super::{Datapath as _, Loader},
    Core, KEEP_APART,
    serve::keep_apart,
};

/// Before what could not be removed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

impl<L: Loader> Core<L> {
    /// Looks whether kube-proxy's rules have come or gone, and removes them if the node is told to.
    pub(super) fn separate(&mut self, now: Instant) {
        let Some(running) = self.running.as_mut().filter(|running| running.apart_due <= now) else {
            return;
        };
        running.apart_due = now + KEEP_APART;
        // Where nobody says any more what is wanted, kube-proxy may have come back.
        let applied = self.applied.as_ref().filter(|_| self.object.is_some());
        let wanted = applied.map(|applied| applied.spec.kube_proxy_rules);
        if wanted != Some(KubeProxyRules::Remove) {
            self.report_stale |= self.cleared.take().is_some();
            self.troubles.leftovers = None;
        } else if running.complete && running.placement.is_some() {
            // Not before: until everything is served here, these rules serve it.
            let cleared = running.datapath.clear_kube_proxy();
            if !cleared.removed.is_empty() {
                info!(
                    removed = cleared.removed.join(", "),
                    kept = cleared.why_kept(),
                    "what kube-proxy has left is removed"
                );
            }
            let trouble = cleared.trouble();
            if let Some(message) = &trouble {
                if self.troubles.leftovers.as_ref() != Some(message) {
                    warn!("what kube-proxy has left can't be removed: {message}");
                }
                running.apart_due = now + AGAIN;
            }
            self.troubles.leftovers = trouble;
            // A later look that finds nothing any more says nothing about what was removed.
            if !cleared.is_nothing() || self.cleared.is_none() {
                self.cleared = Some(Arc::new(cleared));
            }
            self.report_stale = true;
        }
        keep_apart(running);
    }
}
