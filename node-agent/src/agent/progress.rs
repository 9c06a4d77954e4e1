//! How far the tables of an address family are from what is wanted.

use tokio::time::Instant;

use crate::plan::WithoutLocal;

/// How an address family keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The family, as Kubernetes writes it.
    pub family: &'static str,
    /// When everything that was wanted was last programmed; none before the first time.
    pub updated: Option<Instant>,
    /// Since when changes wait; none while none does. What does not fit is not waited for: it is reported, and a node
    /// whose tables are full still serves everything else.
    pub pending_since: Option<Instant>,
    /// Service ports that nobody on this node serves while others do.
    pub without_local: WithoutLocal,
}

impl Progress {
    /// Nothing was programmed yet.
    pub(super) fn new(family: &'static str) -> Self {
        Self {
            family,
            updated: None,
            pending_since: None,
            without_local: WithoutLocal::default(),
        }
    }

    /// Changes are about to be programmed.
    pub(super) fn begin(&mut self, now: Instant) {
        self.pending_since.get_or_insert(now);
    }

    /// They were.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.updated = Some(now);
        self.pending_since = None;
    }
}
