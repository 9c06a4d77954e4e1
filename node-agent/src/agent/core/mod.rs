//! What the agent knows and does, without a clock or a task of its own: changes go in, [`Core::work`] does what is due
//! and says when it wants to be called again.

mod check;
mod configure;
mod events;
mod flows;
mod leftovers;
mod names;
mod serve;
mod sockets;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kpr_crds::{ForwardingMode, NodeDatapathSpec, Phase as Wanted};
use tokio::time::Instant;
use tracing::info;

use self::flows::MayBeOpen;
use super::{
    Applied, CAPABILITIES, Loader, Object, Placement, Snapshot, Troubles,
    backoff::Backoff,
    exhaustion::Exhaustion,
    latency::{Heard, Latency},
    services::DualStack,
    settings::{kinds, maglev},
};
use crate::{
    cluster::Peer,
    datapath::{Report, Settings},
    devices::Device,
    events::Hub,
    metrics::{Changed, Syncs},
    model::{HealthCheck, Index, NamespacedName, NodeFacts},
    observe::{
        Task, Tasks,
        api::{Phase, Services},
    },
    sockets::Orders,
    sweeper::Control,
    takeover::Cleared,
    watch::{Change, DatapathObject, NodeInput},
};

/// Between looks at the datapath while nothing changes.
const REPORT_IDLE: Duration = Duration::from_secs(5);
/// Between looks while something changes.
const REPORT_BUSY: Duration = Duration::from_secs(1);
/// Between looks whether rules of kube-proxy have come or gone; reading ten thousand Services' takes a tenth of a second.
const KEEP_APART: Duration = Duration::from_mins(2);

/// How many problems of Services are told one by one; the others are counted.
const PROBLEMS_SHOWN: usize = 20;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_mins(1);

/// The agent's state.
pub struct Core<L: Loader> {
    loader: L,
    memory_bytes: u64,
    index: Index,
    facts: NodeFacts,
    synced: bool,
    /// The watch of the own Node has said whether there is one.
    node_known: bool,
    node: Option<NodeInput>,
    devices: Option<Vec<Device>>,
    object: Option<Box<DatapathObject>>,
    running: Option<Running<L::Datapath>>,
    applied: Option<Applied>,
    /// Generation of the NodeDatapath whose `Draining` has been carried out.
    removed: Option<i64>,
    troubles: Troubles,
    load_retry: Backoff,
    place_retry: Backoff,
    remove_retry: Backoff,
    events: Arc<Hub>,
    events_retry: Backoff,
    report: Report,
    reported: Option<Instant>,
    /// Something changed since the last report.
    report_stale: bool,
    behind_since: Option<Instant>,
    health_checks: Arc<[HealthCheck]>,
    /// What had to be repaired since the start.
    repairs: u64,
    /// What became of a kube-proxy's leftovers.
    cleared: Option<Arc<Cleared>>,
    tasks: CoreTasks,
    sockets: Arc<Orders>,
    /// Whether TCP was among what was last told to keep, if nothing has changed since.
    sockets_settled: Option<bool>,
    sweeper: Arc<Control>,
    /// Flows with DSR.
    encapsulated: MayBeOpen,
    /// Nodes that take encapsulated packets; none while it is not known.
    dsr_takers: Option<Arc<BTreeSet<Arc<str>>>>,
    /// Nodes with endpoints that do not, if DSR is asked for; as of the last look.
    without_dsr: Option<Arc<[Arc<str>]>>,
    exhaustion: Exhaustion,
    syncs: Syncs,
    latency: Latency,
    /// The Service of the agents themselves, if it is known.
    agents: Option<NamespacedName>,
    peers: Arc<[Peer]>,
}

/// A loaded datapath.
struct Running<D> {
    datapath: D,
    settings: Settings,
    services: DualStack<D>,
    /// Everything was programmed at least once since the start.
    complete: bool,
    /// Kinds of Services are about to be served that were not before: netfilter may have flows to them.
    taking_over: bool,
    /// Its source ports are kept apart from kube-proxy's, or there is no kube-proxy.
    apart: bool,
    apart_due: Instant,
    placement: Option<Placement>,
    /// Flows that pods began on their devices.
    from_pods: MayBeOpen,
    /// Frontends that were deleted so far.
    frontends_gone: u64,
    /// Flows to such frontends.
    lingering: MayBeOpen,
    check_due: Instant,
    /// Map writes of the datapaths that this one replaced.
    writes_before: u64,
}

/// The core's entries in the list of background tasks.
struct CoreTasks {
    load: Task,
    place: Task,
    program: Task,
    check: Task,
}

impl<L: Loader> Core<L> {
    /// Knows nothing yet. `memory_bytes`: the machine's memory, which map sizes follow.
    pub fn new(node_name: &str, memory_bytes: u64, loader: L, tasks: &Tasks) -> Self {
        let backoff = || Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        Self {
            encapsulated: MayBeOpen::new(loader.may_have_dsr()),
            loader,
            memory_bytes,
            index: Index::new(),
            facts: NodeFacts {
                capabilities: CAPABILITIES,
                ..NodeFacts::new(node_name)
            },
            synced: false,
            node_known: false,
            node: None,
            devices: None,
            object: None,
            running: None,
            applied: None,
            removed: None,
            troubles: Troubles::default(),
            load_retry: backoff(),
            place_retry: backoff(),
            remove_retry: backoff(),
            events: Arc::default(),
            events_retry: backoff(),
            report: Report::default(),
            reported: None,
            report_stale: false,
            behind_since: None,
            health_checks: Arc::default(),
            repairs: 0,
            cleared: None,
            sockets: Arc::default(),
            sockets_settled: None,
            sweeper: Arc::default(),
            dsr_takers: None,
            without_dsr: None,
            exhaustion: Exhaustion::default(),
            syncs: Syncs::default(),
            latency: Latency::new(Timestamp::now()),
            agents: None,
            peers: Arc::default(),
            tasks: CoreTasks {
                load: tasks.register("load-datapath"),
                place: tasks.register("sync-devices"),
                program: tasks.register("sync-lb-maps"),
                check: tasks.register("check-datapath"),
            },
        }
    }

    /// The agents of all nodes are the endpoints of this Service, and their port of this name says how they are.
    #[must_use]
    pub fn with_agents(self, service: Option<NamespacedName>) -> Self {
        Self {
            agents: service,
            ..self
        }
    }

    /// How long programming takes, for metrics.
    pub fn syncs(&self) -> Syncs {
        self.syncs.clone()
    }

    /// Takes note of a change; nothing is done yet.
    pub fn take(&mut self, change: Change) {
        if let Some((what, changes)) = counted(&change) {
            self.syncs.heard(what, changes);
        }
        match change {
            Change::Services(all) => self.index.replace_services(all),
            Change::Service(input) => self.index.apply_service(*input),
            Change::ServiceGone(name) => self.index.delete_service(&name),
            Change::Slices(all) => self.index.replace_slices(all),
            Change::Slice(input) => {
                let heard = Heard::of(&input);
                if self.index.apply_slice(*input) {
                    self.latency.heard(heard);
                }
            }
            Change::SliceGone(name) => {
                self.index.delete_slice(&name);
            }
            Change::Pods(all) => self.index.replace_pods(all),
            Change::Pod(input) => self.index.apply_pod(*input),
            Change::PodGone(name) => self.index.delete_pod(&NamespacedName::of_pod(&name)),
            Change::Synced => {
                info!(
                    services = self.index.services().len(),
                    "Services, EndpointSlices and this node's Pods are read in full"
                );
                self.synced = true;
            }
            Change::Node(node) => {
                self.node = node;
                self.node_known = true;
                self.place_retry.reset();
                self.update_facts();
            }
            Change::Datapath(object) => self.take_object(object),
            Change::DsrTakers(takers) => {
                self.dsr_takers = takers;
                self.update_facts();
                self.report_stale = true;
            }
        }
    }

    /// Takes note of the node's devices; nothing is done yet.
    pub fn take_devices(&mut self, devices: Vec<Device>) {
        self.devices = Some(devices);
        self.place_retry.reset();
    }

    /// Does everything that is due, and says when to call again if nothing changes until then.
    pub fn work(&mut self, now: Instant) -> Option<Instant> {
        self.configure(now);
        self.listen(now);
        self.place(now);
        self.program(now);
        self.separate(now);
        self.check(now);
        self.look(now);
        self.next_due(now)
    }

    /// When the next look at the datapath is due; none: now.
    fn report_due(&self) -> Option<Instant> {
        let pause = if self.report_stale { REPORT_BUSY } else { REPORT_IDLE };
        self.reported.map(|reported| reported + pause)
    }

    fn next_due(&self, now: Instant) -> Option<Instant> {
        // A pause that is over was either used just now, or waits for something else.
        let retries = [
            &self.load_retry,
            &self.place_retry,
            &self.remove_retry,
            &self.events_retry,
        ]
        .map(|retry| retry.until().filter(|&until| until > now));
        let running = self.running.as_ref();
        let program = running
            .filter(|_| self.synced)
            .and_then(|running| running.services.due());
        let apart = running.map(|running| running.apart_due);
        let check = running.map(|running| running.check_due);
        let report = running.and_then(|_| self.report_due());
        retries
            .into_iter()
            .chain([program, apart, check, report])
            .flatten()
            .min()
            .map(|due| due.max(now))
    }

    /// What the model must know of the node, from its Node object and its configuration.
    fn update_facts(&mut self) {
        let mut facts = self.facts.clone();
        facts.ips = self
            .node
            .as_ref()
            .map_or_else(Vec::new, |node| node.internal_ips.clone());
        facts.zone = self.node.as_ref().and_then(|node| node.zone.clone());
        if let Some(Applied { spec, .. }) = &self.applied {
            facts.kinds = kinds(spec.services);
            let affinity = &spec.session_affinity;
            facts.affinity_default_seconds = affinity.enabled.then_some(affinity.default_timeout_seconds);
            // Only what could be read was applied.
            facts.maglev = maglev(&spec.load_balancer).unwrap_or_default();
            facts.dsr_takers = asks_for_dsr(spec).then(|| self.dsr_takers.clone().unwrap_or_default());
        }
        if facts != self.facts {
            let kinds_changed = facts.kinds != self.facts.kinds;
            self.facts = facts;
            if let Some(running) = &mut self.running {
                running.taking_over |= kinds_changed;
                running.services.touch_all();
            }
        }
    }

    fn phase(&self) -> Phase {
        let wanted = self.object.as_ref().map(|object| object.spec.phase);
        match (wanted, &self.running) {
            (Some(Wanted::Draining), _) if self.removed.is_none() => Phase::Draining,
            (Some(Wanted::Draining), _) => Phase::Removed,
            (_, Some(running)) if running.complete => Phase::Active,
            (Some(Wanted::Active), None) if self.troubles.first().is_some() => Phase::Failed,
            (_, Some(_)) | (Some(Wanted::Active), None) => Phase::Syncing,
            (None, None) if self.removed.is_some() => Phase::Removed,
            (None, None) => Phase::Waiting,
        }
    }

    /// The agent at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let running = self.running.as_ref();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (frontends, backends) = running.map_or((0, 0), |running| running.services.counts());
        Snapshot {
            phase: self.phase(),
            object: self.object.as_ref().map(|object| Object {
                generation: object.generation,
                unknown_fields: object.unknown_fields.clone().into(),
                status: Arc::new(object.status.clone()),
            }),
            applied: self.applied.clone(),
            troubles: self.troubles.clone(),
            placement: running.and_then(|running| running.placement.clone()),
            services: Services {
                synced: self.synced,
                services: count(self.index.services().len()),
                frontends,
                backends,
                pending: running
                    .filter(|running| running.complete)
                    .map_or(0, |running| count(running.services.pending())),
                problems: running.map_or(0, |running| count(running.services.problems().count())),
            },
            problems: running
                .map(|running| &running.services)
                .into_iter()
                .flat_map(DualStack::problems)
                .take(PROBLEMS_SHOWN)
                .map(|problem| format!("{}: {problem}", problem.service))
                .collect(),
            write_failures: running.map_or(0, |running| running.services.failures()),
            report: self.report.clone(),
            repairs: self.repairs,
            cleared: self.cleared.clone(),
            sweep: self.sweeper.findings(),
            behind_since: self.behind_since,
            families: running
                .into_iter()
                .flat_map(|running| running.services.progress())
                .collect(),
            health_checks: Arc::clone(&self.health_checks),
            node: self.node.clone(),
            without_dsr: self.without_dsr.clone(),
            counted: running.and_then(|running| running.services.counted()),
            peers: Arc::clone(&self.peers),
        }
    }
}

/// What a change is of, for metrics, and how many it stands for.
fn counted(change: &Change) -> Option<(Changed, usize)> {
    match change {
        Change::Services(all) => Some((Changed::Service, all.len())),
        Change::Service(_) | Change::ServiceGone(_) => Some((Changed::Service, 1)),
        Change::Slices(all) => Some((Changed::Endpoints, all.len())),
        Change::Slice(_) | Change::SliceGone(_) => Some((Changed::Endpoints, 1)),
        _ => None,
    }
}

/// Whether some flows get DSR.
fn asks_for_dsr(spec: &NodeDatapathSpec) -> bool {
    spec.load_balancer.mode != ForwardingMode::Snat
}

/// The error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    crate::watch::chain(error)
}
