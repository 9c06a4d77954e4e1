//! What is counted as it happens.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

type Label = [(&'static str, &'static str); 1];

/// How long it takes to bring the tables of an address family to what is wanted. Clones count together.
#[derive(Clone, Debug)]
pub struct Syncs(Family<Label, Histogram, fn() -> Histogram>);

impl Default for Syncs {
    fn default() -> Self {
        // kube-proxy's buckets: from a millisecond to 16 seconds.
        Self(Family::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 15))
        }))
    }
}

impl Syncs {
    /// A sync of the family took so long.
    pub fn took(&self, family: &'static str, duration: Duration) {
        self.0
            .get_or_create(&[("ip_family", family)])
            .observe(duration.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "Time from the first change that is programmed to the last map write",
            self.0.clone(),
        );
    }
}

/// Which health check somebody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`.
    Healthz,
    /// `/livez`.
    Livez,
}

/// Answers to health checks, by status. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    healthz: Family<Label, Counter>,
    livez: Family<Label, Counter>,
}

impl Probes {
    /// One was answered.
    pub fn answered(&self, probe: Probe, status: StatusCode) {
        let family = match probe {
            Probe::Healthz => &self.healthz,
            Probe::Livez => &self.livez,
        };
        let code = if status.is_success() { "200" } else { "503" };
        family.get_or_create(&[("code", code)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_proxy_healthz",
            "Answers of /healthz, by status",
            self.healthz.clone(),
        );
        registry.register(
            "kubeproxy_proxy_livez",
            "Answers of /livez, by status",
            self.livez.clone(),
        );
    }
}
