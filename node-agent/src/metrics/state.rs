//! How the agent and its datapath are, read when somebody asks.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use tokio::sync::watch;

use super::writer::Writer;
use crate::{
    agent::Snapshot,
    health::Moment,
    observe::{
        Source,
        api::{Phase, Status},
    },
};

const PHASES: [(Phase, &str); 6] = [
    (Phase::Waiting, "Waiting"),
    (Phase::Failed, "Failed"),
    (Phase::Syncing, "Syncing"),
    (Phase::Active, "Active"),
    (Phase::Draining, "Draining"),
    (Phase::Removed, "Removed"),
];

/// The agent, as the local API shows it.
pub(super) struct State {
    view: Arc<dyn Source>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl State {
    pub(super) fn new(view: Arc<dyn Source>, snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { view, snapshots }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Collector for State {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.view.status(Timestamp::now());
        let snapshot = self.snapshots.borrow().clone();
        let mut writer = Writer::new(encoder);
        agent(&status, &mut writer)?;
        services(&status, &snapshot, &mut writer)?;
        datapath(&status, &snapshot, &mut writer)?;
        flows(&status, &snapshot, &mut writer)
    }
}

/// The agent itself.
fn agent(status: &Status, writer: &mut Writer) -> fmt::Result {
    writer.gauges(
        "kpr_build_info",
        "The agent's version, as a label",
        [([("version", status.agent_version.as_str())], 1_u64)],
    )?;
    let is_in = |phase| u64::from(phase == status.phase);
    writer.gauges(
        "kpr_phase",
        "1 for what the agent is doing",
        PHASES.map(|(phase, name)| ([("phase", name)], is_in(phase))),
    )?;
    writer.gauges(
        "kpr_policy_generation",
        "Generation of the KubeProxyReplacement that is in force on this node",
        status
            .policy
            .iter()
            .map(|policy| ([("policy", policy.name.as_str())], policy.generation)),
    )?;
    writer.gauge(
        "kpr_api_server_reachable",
        "Whether the API server answered last time",
        u64::from(status.kubernetes.reachable),
    )?;
    let nodes = || status.cluster.iter().flat_map(|cluster| &cluster.nodes);
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    writer.gauges(
        "kpr_cluster_agents",
        "Agents that this one asks how they are, by what came of it",
        status.cluster.iter().flat_map(|_| {
            let of = |reachable, serves| {
                nodes()
                    .filter(|node| node.reachable == reachable && node.serves == serves)
                    .count()
            };
            [
                ("serves", of(true, true)),
                ("reachable", of(true, false)),
                ("unreachable", of(false, false)),
            ]
            .map(|(answer, agents)| ([("answer", answer)], count(agents)))
        }),
    )?;
    writer.gauges(
        "kpr_task_consecutive_failures",
        "Failures of a background task since it last succeeded",
        status
            .tasks
            .iter()
            .map(|task| ([("task", task.name.as_str())], task.consecutive_failures)),
    )?;
    writer.gauges(
        "kpr_task_last_success_timestamp_seconds",
        "When a background task last succeeded, in seconds since 1970",
        status
            .tasks
            .iter()
            .filter_map(|task| Some(([("task", task.name.as_str())], seconds(task.last_success?)))),
    )
}

/// What is programmed, and whether it is up to date.
fn services(status: &Status, snapshot: &Snapshot, writer: &mut Writer) -> fmt::Result {
    let services = &status.services;
    for (name, help, value) in [
        ("kpr_services", "Services that the agent knows", services.services),
        ("kpr_frontends", "Frontends in the tables", services.frontends),
        ("kpr_backends", "Backends in the tables", services.backends),
        (
            "kpr_services_pending",
            "Services whose programming failed and is tried again",
            services.pending,
        ),
        (
            "kpr_service_problems",
            "Things that cannot be served as their owners wrote them",
            services.problems,
        ),
        (
            "kpr_synced",
            "Whether Services and EndpointSlices have been read in full since the start",
            u32::from(services.synced),
        ),
    ] {
        writer.gauge(name, help, value)?;
    }
    let now = Moment::now();
    writer.gauges(
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
        "When all that was wanted was last programmed, in seconds since 1970",
        snapshot.families.iter().filter_map(|family| {
            let time = now.time_of(family.updated?);
            Some(([("ip_family", family.family)], seconds(time)))
        }),
    )?;
    writer.gauges(
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
        "Service ports with endpoints on other nodes alone, and a traffic policy that asks for those of this node",
        snapshot.families.iter().flat_map(|family| {
            let ports = family.without_local;
            let of = |policy, ports: usize| {
                let labels = [("ip_family", family.family), ("traffic_policy", policy)];
                (labels, u64::try_from(ports).unwrap_or(u64::MAX))
            };
            [of("internal", ports.internal), of("external", ports.external)]
        }),
    )?;
    writer.gauges(
        "kpr_programming_pending_seconds",
        "For how long the oldest change has waited to be programmed; 0 if none waits",
        snapshot.families.iter().map(|family| {
            let waits = family
                .pending_since
                .map(|since| now.instant.saturating_duration_since(since));
            ([("ip_family", family.family)], waits.unwrap_or_default().as_secs_f64())
        }),
    )
}

/// Programs and maps.
fn datapath(status: &Status, snapshot: &Snapshot, writer: &mut Writer) -> fmt::Result {
    writer.counters(
        "kpr_datapath_events",
        "Packets and socket calls since the maps were made, by what became of them",
        status.counters.iter().map(|counter| {
            let reason = counter.reason.as_str();
            let kind = reason.split('_').next().unwrap_or_default();
            ([("kind", kind), ("reason", reason)], counter.count)
        }),
    )?;
    writer.gauges(
        "kpr_program_attached",
        "1 for each hook that a program is on",
        status.attachments.iter().map(|attachment| {
            let [program, hook, target] = [&attachment.program, &attachment.hook, &attachment.target];
            (
                [("program", program.as_str()), ("hook", hook), ("target", target)],
                1_u64,
            )
        }),
    )?;
    let run_times = &snapshot.report.run_times;
    writer.counters(
        "kpr_program_run_time_seconds",
        "Processor time of a program while the kernel measured it",
        run_times
            .iter()
            .map(|run| ([("program", run.program.as_str())], run.time.as_secs_f64())),
    )?;
    writer.counters(
        "kpr_program_runs",
        "Runs of a program while the kernel measured them",
        run_times
            .iter()
            .map(|run| ([("program", run.program.as_str())], run.runs)),
    )?;
    writer.gauges(
        "kpr_map_capacity_entries",
        "Most entries that a map can hold",
        status.maps.iter().map(|map| ([("map", map.name.as_str())], map.size)),
    )?;
    writer.gauges(
        "kpr_map_entries",
        "Entries of a map that are in use",
        status
            .maps
            .iter()
            .filter_map(|map| Some(([("map", map.name.as_str())], map.used?))),
    )?;
    writer.counter("kpr_map_writes", "Updates and deletes of maps", status.map_writes)?;
    writer.counter(
        "kpr_map_write_failures",
        "Updates and deletes of maps that the kernel refused",
        snapshot.write_failures,
    )?;
    writer.counter(
        "kpr_repairs",
        "What somebody else changed of the datapath and was put back",
        status.repairs,
    )
}

/// Flows of the packet path, as the last sweep found them.
fn flows(status: &Status, snapshot: &Snapshot, writer: &mut Writer) -> fmt::Result {
    let tables = || status.sweep.iter().flat_map(|sweep| &sweep.tables);
    writer.gauges(
        "kpr_conntrack_entries",
        "Entries of flows, two for each, at the last sweep",
        tables().map(|table| ([("ip_family", table.family.as_str())], table.live)),
    )?;
    writer.gauges(
        "kpr_conntrack_last_sweep_expired_entries",
        "Entries of flows that the last sweep removed",
        tables().map(|table| ([("ip_family", table.family.as_str())], table.expired)),
    )?;
    let sweep = status.sweep.as_ref();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a sweep")]
    writer.gauges(
        "kpr_conntrack_last_sweep_duration_seconds",
        "How long the last sweep took",
        sweep.map(|sweep| ([], sweep.took_ms as f64 / 1e3)),
    )?;
    writer.gauges(
        "kpr_conntrack_sweep_interval_seconds",
        "From the last sweep to the next",
        sweep.map(|sweep| ([], sweep.interval_seconds)),
    )?;
    writer.gauges(
        "kpr_snat_ports_used",
        "Source ports that are taken towards the backend that has most",
        tables().map(|table| {
            let fullest = table.fullest.as_ref().map_or(0, |fullest| fullest.ports);
            ([("ip_family", table.family.as_str())], fullest)
        }),
    )?;
    let applied = snapshot.applied.as_ref();
    let range = applied.and_then(|applied| applied.spec.load_balancer.snat_port_range().ok());
    writer.gauges(
        "kpr_snat_ports",
        "Source ports that there are towards each backend",
        range.map(|range| ([], u32::from(range.last() - range.first()) + 1)),
    )
}

/// Seconds since 1970.
fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
