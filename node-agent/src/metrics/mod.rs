//! What the agent tells Prometheus: `/metrics` of the metrics port.
//!
//! * [`Syncs`] and [`Probes`] are counted as things happen; their owners hold clones.
//! * [`services`] is what programs count by Service port, if it is asked for.
//! * [`state`] is everything else: it is read from the agent when somebody asks, and costs nothing until then.
//!
//! Names that begin with `kubeproxy_` are those of kube-proxy, where the meaning is the same, so that dashboards and alerts go on.
//! `docs/metrics.md` has them all; a test compares.

mod process;
mod record;
mod services;
mod state;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus_client::{encoding::prometheus_text, registry::Registry};
use tokio::sync::watch;

pub use self::record::{Changed, Latency, Probe, Probes, Syncs};
pub use self::services::ReadCounts;
use self::{process::Process, services::ServicePorts, state::State};
use crate::{agent::Snapshot, observe::Source};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All metrics of the agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Those of this agent.
    #[must_use]
    pub fn new(
        view: Arc<dyn Source>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        syncs: &Syncs,
        probes: &Probes,
        counts: ReadCounts,
    ) -> Self {
        let mut registry = Registry::default();
        syncs.register(&mut registry);
        probes.register(&mut registry);
        registry.register_collector(Box::new(ServicePorts::new(snapshots.clone(), counts)));
        registry.register_collector(Box::new(State::new(view, snapshots)));
        registry.register_collector(Box::new(Process));
        Self { registry }
    }

    /// In Prometheus' text format 0.0.4, as kube-proxy answers.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Not reachable: a string takes whatever is written to it.
        if prometheus_text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}
