//! Watches, decides and writes: the only part with I/O.

mod backoff;
mod cache;
mod neighbours;
mod signal;
mod superseded;
mod throttle;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kpr_crds::names::POLICY_LABEL;
use kpr_crds::{KubeProxyReplacement, NodeDatapath, NodeDatapathStatus};
use kube::api::ObjectMeta;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::connect;
use crate::decide::{World, decide};
use crate::drain::Limits;
use crate::kube_proxy::{
    self,
    view::{self, DaemonSetView, PodView},
};
use crate::node::{NodeView, Shared};
use crate::render::{AWAITED_SINCE, DRAINING_SINCE};
use crate::rollout::ROLLOUT;
use cache::Cache;
use neighbours::Neighbours;
use write::{WriteError, Writer};

/// How the controller behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long removals are waited for.
    pub limits: Limits,
    /// How kube-proxy is looked for.
    pub kube_proxy: kube_proxy::Settings,
    /// Changes of Nodes and NodeDatapaths are collected for this long before they are looked at: an upgrade of thousands
    /// of agents must not write a status for each of them.
    pub collect: Duration,
    /// Least time between two writes of the status of one policy, but for news that something waits for.
    pub status_interval: Duration,
    /// Name of this operator in Events.
    pub identity: String,
}

struct Context {
    policies: Store<KubeProxyReplacement>,
    nodes: Cache<NodeView>,
    datapaths: Cache<Arc<NodeDatapath>>,
    /// None: not one of kube-proxy.
    daemon_sets: Cache<Option<Arc<DaemonSetView>>>,
    /// One for each label that they are known by.
    proxies: [Cache<PodView>; view::LABELS.len()],
    kube_proxy_patience: Duration,
    writer: Writer,
    neighbours: Neighbours,
    limits: Limits,
    failures: Mutex<HashMap<String, u32>>,
}

/// Runs until `stop` is cancelled; work that has begun is finished. Dropping it stops at once.
pub async fn run(client: Client, settings: Settings, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let nodes = Cache::new(Arc::clone(&changed), |_, _| false);
    let datapaths = Cache::new(Arc::clone(&changed), older);
    let daemon_sets = Cache::new(Arc::clone(&changed), older_set);
    let proxies = view::LABELS.map(|_| Cache::new(Arc::clone(&changed), |_, _| false));
    let neighbours = Neighbours::new(Arc::clone(&changed));
    let policies = Api::<KubeProxyReplacement>::all(client.clone());
    let controller = Controller::new(policies, watcher::Config::default())
        // One at a time: each looks at all policies, and two that look at different states could disagree.
        .with_config(controller::Config::default().concurrency(1))
        .reconcile_all_on(signal::collected(changed, settings.collect))
        .graceful_shutdown_on(stop.clone().cancelled_owned());
    let context = Arc::new(Context {
        policies: controller.store(),
        nodes: nodes.clone(),
        datapaths: datapaths.clone(),
        daemon_sets: daemon_sets.clone(),
        proxies: proxies.clone(),
        kube_proxy_patience: settings.kube_proxy.patience,
        writer: Writer::new(client.clone(), &settings, datapaths.clone(), daemon_sets.clone()),
        neighbours,
        limits: settings.limits,
        failures: Mutex::default(),
    });

    let texts = Shared::default();
    let watch_nodes = Box::pin(nodes.fill(Api::<Node>::all(client.clone()), |node| {
        NodeView::from(node).shared(&texts)
    }));
    let watch_datapaths = Box::pin(datapaths.fill(Api::<NodeDatapath>::all(client.clone()), reduced));
    let namespace = &settings.kube_proxy.namespace;
    let sets = Api::namespaced(client.clone(), namespace);
    let watch_sets = Box::pin(daemon_sets.fill(sets, |set: DaemonSet| DaemonSetView::of(&set).map(Arc::new)));
    let watch_proxies = view::LABELS.iter().zip(&proxies).map(|((key, value), pods)| {
        let labelled = watcher::Config::default().labels(&format!("{key}={value}"));
        pods.fill_with(
            Api::<Pod>::namespaced(client.clone(), namespace),
            labelled,
            PodView::from,
        )
    });
    let watch_proxies = Box::pin(futures::future::join_all(watch_proxies));
    let reconciling = async {
        tokio::select! {
            () = stop.cancelled() => return,
            () = async { tokio::join!(nodes.filled(), datapaths.filled()); } => {}
        }
        // What becomes of kube-proxy can wait, and nothing else waits for it.
        let known = timeout(KUBE_PROXY_PATIENCE, Box::pin(kube_proxy_known(&daemon_sets, &proxies))).await;
        if known.is_err() {
            warn!("kube-proxy's DaemonSets and pods in {namespace} can't be read: going on without");
        }
        info!("Nodes and NodeDatapaths are known: reconciling");
        let outcomes = controller.run(reconcile, failed, Arc::clone(&context));
        outcomes.for_each(async |outcome| report(outcome, &context)).await;
    };
    tokio::select! {
        () = reconciling => {}
        () = watch_nodes => {}
        () = watch_datapaths => {}
        () = watch_sets => {}
        _ = watch_proxies => {}
    }
}

/// How long the first look at kube-proxy's objects is waited for.
const KUBE_PROXY_PATIENCE: Duration = Duration::from_secs(5);

async fn kube_proxy_known(daemon_sets: &Cache<Option<Arc<DaemonSetView>>>, proxies: &[Cache<PodView>]) {
    daemon_sets.filled().await;
    for pods in proxies {
        pods.filled().await;
    }
}

/// The generation counts the changes of a DaemonSet's spec.
#[expect(clippy::ref_option, reason = "the signature is that of a cache's values")]
fn older_set(first: &Option<Arc<DaemonSetView>>, second: &Option<Arc<DaemonSetView>>) -> bool {
    let (Some(first), Some(second)) = (first, second) else {
        return false;
    };
    first.uid == second.uid && first.generation < second.generation
}

/// What decisions need of a NodeDatapath: thousands of them are kept. Maps, devices and counters would also make each
/// agent's report a change, and so would the words of conditions that hold.
fn reduced(datapath: NodeDatapath) -> Arc<NodeDatapath> {
    let NodeDatapath { metadata, spec, status } = datapath;
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.retain(|key, _| key == DRAINING_SINCE || key == AWAITED_SINCE || key == ROLLOUT);
    let mut labels = metadata.labels.unwrap_or_default();
    labels.retain(|key, _| key == POLICY_LABEL);
    let metadata = ObjectMeta {
        name: metadata.name,
        uid: metadata.uid,
        generation: metadata.generation,
        deletion_timestamp: metadata.deletion_timestamp,
        owner_references: metadata.owner_references,
        annotations: Some(annotations),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let status = status.map(|status| {
        let mut conditions = status.conditions;
        for condition in conditions.iter_mut().filter(|condition| condition.status == "True") {
            condition.message = String::new();
        }
        NodeDatapathStatus {
            observed_generation: status.observed_generation,
            policy_generation: status.policy_generation,
            unknown_fields: status.unknown_fields,
            takes_dsr: status.takes_dsr,
            conditions,
            ..NodeDatapathStatus::default()
        }
    });
    Arc::new(NodeDatapath { metadata, spec, status })
}

/// The generation counts the changes of the spec, and begins anew with a new object of the same name.
fn older(first: &Arc<NodeDatapath>, second: &Arc<NodeDatapath>) -> bool {
    first.metadata.uid == second.metadata.uid && first.metadata.generation < second.metadata.generation
}

async fn reconcile(policy: Arc<KubeProxyReplacement>, context: Arc<Context>) -> Result<Action, WriteError> {
    if context.writer.has_replaced(&policy) {
        return Ok(Action::await_change());
    }
    context.neighbours.saw(&policy);
    let decision = {
        let policies = context.policies.state();
        let nodes = context.nodes.snapshot();
        let datapaths = context.datapaths.snapshot();
        let (sets, proxies) = (
            context.daemon_sets.snapshot(),
            context.proxies.each_ref().map(Cache::snapshot),
        );
        let is_known = context.daemon_sets.is_filled() && context.proxies.iter().all(Cache::is_filled);
        let kube_proxy = is_known.then(|| {
            let sets = sets.values().filter_map(|set| set.as_deref());
            kube_proxy::State::new(sets, proxies.iter().flat_map(|pods| pods.values()))
        });
        let world = World {
            policies: &policies,
            nodes: &nodes,
            datapaths: &datapaths,
            limits: context.limits,
            kube_proxy: kube_proxy::Input {
                state: kube_proxy.as_ref(),
                patience: context.kube_proxy_patience,
            },
            now: Timestamp::now(),
        };
        decide(&policy, &world)
    };
    let again_in = decision.again_in;
    let status_in = context.writer.carry_out(&policy, decision).await?;
    context
        .failures
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&policy.name_any());
    let next = again_in.into_iter().chain(status_in).min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is that of kube's error policy"
)]
fn failed(policy: Arc<KubeProxyReplacement>, error: &WriteError, context: Arc<Context>) -> Action {
    let name = policy.name_any();
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures
        .entry(name.clone())
        .and_modify(|count| *count = count.saturating_add(1))
        .or_insert(1);
    let wait = backoff::delay(*count, error.is_conflict());
    if error.is_conflict() {
        debug!(policy = %name, "{error}; trying again in {wait:?}");
    } else {
        warn!(policy = %name, failures = *count, "{error}; trying again in {wait:?}");
    }
    Action::requeue(wait)
}

type Outcome<K> =
    Result<(kube::runtime::reflector::ObjectRef<K>, Action), controller::Error<WriteError, watcher::Error>>;

fn report(outcome: Outcome<KubeProxyReplacement>, context: &Context) {
    match outcome {
        Ok((object, _)) => debug!(policy = %object.name, "reconciled"),
        // Said where it happened.
        Err(controller::Error::ReconcilerFailed(..)) => {}
        Err(controller::Error::ObjectNotFound(object)) => context.neighbours.lost(&object.name),
        Err(controller::Error::QueueError(error)) => {
            warn!(
                "KubeProxyReplacements can't be watched: {}; trying again",
                connect::causes(&error)
            );
        }
        Err(error) => warn!("the controller failed: {error}"),
    }
}

/// A stream that never ends by itself, for `reconcile_all_on`.
type Signals = stream::BoxStream<'static, ()>;
