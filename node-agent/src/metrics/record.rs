//! What is counted as it happens.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

type Label = [(&'static str, &'static str); 1];

type Durations = Family<Label, Histogram, fn() -> Histogram>;

/// Between which moments of a change of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// From the change of a Pod or Service, by the clock of the control plane, to the last map write.
    Network,
    /// From there to this agent.
    Watch,
    /// From there to the last map write.
    Programming,
}

/// How long it takes to bring the tables of an address family to what is wanted. Clones count together.
#[derive(Clone, Debug)]
pub struct Syncs {
    took: Durations,
    network: Durations,
    watch: Durations,
    programming: Durations,
    services: Changes,
    endpoints: Changes,
}

/// Changes that the API server told of.
#[derive(Clone, Debug, Default)]
struct Changes {
    all: Counter,
    /// Those since everything was last programmed.
    pending: Gauge,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A Service.
    Service,
    /// An EndpointSlice.
    Endpoints,
}

impl Default for Syncs {
    fn default() -> Self {
        Self {
            // kube-proxy's buckets: from a millisecond to 16 seconds.
            took: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
            network: Family::new_with_constructor(|| Histogram::new(network_buckets())),
            watch: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 17))),
            // From a tenth of a millisecond to 3 seconds.
            programming: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 2.0, 16))),
            services: Changes::default(),
            endpoints: Changes::default(),
        }
    }
}

/// kube-proxy's: finer up to a second, then a second each up to a minute, and wider up to five minutes.
fn network_buckets() -> impl Iterator<Item = f64> {
    let seconds = (1..60).chain((60..120).step_by(5)).chain((120..=300).step_by(30));
    [0.25, 0.5].into_iter().chain(seconds.map(f64::from))
}

impl Syncs {
    /// A sync of the family took so long.
    pub fn took(&self, family: &'static str, duration: Duration) {
        observe(&self.took, family, duration);
    }

    /// A change of endpoints took so long.
    pub fn programmed(&self, kind: Latency, family: &'static str, duration: Duration) {
        observe(self.of(kind), family, duration);
    }

    /// So many changes are to be programmed.
    pub fn heard(&self, what: Changed, changes: usize) {
        let of = match what {
            Changed::Service => &self.services,
            Changed::Endpoints => &self.endpoints,
        };
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        of.all.inc_by(changes.into());
        of.pending.inc_by(changes.into());
    }

    /// All that was heard of is programmed.
    pub fn caught_up(&self) {
        self.services.pending.set(0);
        self.endpoints.pending.set(0);
    }

    fn of(&self, kind: Latency) -> &Durations {
        match kind {
            Latency::Network => &self.network,
            Latency::Watch => &self.watch,
            Latency::Programming => &self.programming,
        }
    }

    /// How many changes were counted.
    #[cfg(test)]
    pub(crate) fn count(&self, kind: Latency, family: &'static str) -> u64 {
        let mut registry = Registry::default();
        registry.register("durations", "", self.of(kind).clone());
        let mut page = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut page, &registry).expect("a page");
        let series = format!(r#"durations_count{{ip_family="{family}"}} "#);
        let line = page.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse().expect("a number"))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "Time from the first change that is programmed to the last map write",
            self.took.clone(),
        );
        registry.register(
            "kubeproxy_network_programming_duration_seconds",
            "Time from the change of a Pod or Service to the last map write for the EndpointSlice that tells of it",
            self.network.clone(),
        );
        for (changes, name, pending, what) in [
            (
                &self.services,
                "kubeproxy_sync_proxy_rules_service_changes",
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Services",
            ),
            (
                &self.endpoints,
                "kubeproxy_sync_proxy_rules_endpoint_changes",
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "EndpointSlices",
            ),
        ] {
            registry.register(
                name,
                format!("Changes of {what} that were heard of"),
                changes.all.clone(),
            );
            registry.register(
                pending,
                format!("Changes of {what} since all that was wanted was last programmed"),
                changes.pending.clone(),
            );
        }
        registry.register(
            "kpr_watch_lag_seconds",
            "Time from the change of a Pod or Service until the agent hears of the EndpointSlice that tells of it",
            self.watch.clone(),
        );
        registry.register(
            "kpr_endpoint_programming_duration_seconds",
            "Time from when the agent hears of a changed EndpointSlice to the last map write for it",
            self.programming.clone(),
        );
    }
}

fn observe(durations: &Durations, family: &'static str, duration: Duration) {
    durations
        .get_or_create(&[("ip_family", family)])
        .observe(duration.as_secs_f64());
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
