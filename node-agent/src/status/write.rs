//! Writes the status: when it changed, and not too often.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use kpr_crds::{NodeDatapath, NodeDatapathStatus, names::AGENT_MANAGER};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{Agent, KubeProxy, build, build::significant};
use crate::{
    agent::Snapshot,
    observe::{Task, Tasks},
    watch::{ApiServer, chain},
};

/// Between writes of what matters: conditions, devices, versions.
const SOON: Duration = Duration::from_secs(1);
/// Between writes of what always changes: counts and map fill. Thousands of nodes write to one API server.
const LATER: Duration = Duration::from_secs(10);
/// After a start, this long nothing is written that is but a step on the way: a restarted agent that adopts its datapath
/// has not stopped serving.
const SETTLE: Duration = Duration::from_secs(5);

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the status goes.
pub trait Sink: Send + Sync + 'static {
    /// Writes it.
    fn put(&self, status: &NodeDatapathStatus) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Returns when it is worth trying again before the pause is over.
    fn recovered(&self) -> impl Future<Output = ()> + Send;
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The object is gone: there is nothing to write to, and nothing wrong.
    #[error("the NodeDatapath is gone")]
    Gone,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// The own NodeDatapath at the API server.
#[derive(Clone)]
pub struct ApiSink {
    api: Api<NodeDatapath>,
    api_server: ApiServer,
    name: String,
}

impl ApiSink {
    /// The NodeDatapath of this name.
    pub fn new(client: Client, api_server: ApiServer, name: String) -> Self {
        Self {
            api: Api::all(client),
            api_server,
            name,
        }
    }
}

impl Sink for ApiSink {
    async fn put(&self, status: &NodeDatapathStatus) -> Result<(), SinkError> {
        let patch = Patch::Apply(serde_json::json!({
            "apiVersion": NodeDatapath::api_version(&()),
            "kind": NodeDatapath::kind(&()),
            "metadata": { "name": self.name },
            "status": status,
        }));
        let params = PatchParams::apply(AGENT_MANAGER).force();
        let write = self.api.patch_status(&self.name, &params, &patch);
        match timeout(PATIENCE, write).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(SinkError::Gone),
            Ok(Err(error)) => {
                self.api_server.doubt();
                Err(SinkError::Failed(chain(&error)))
            }
            Err(_) => {
                self.api_server.doubt();
                Err(SinkError::Failed(format!("no answer within {} s", PATIENCE.as_secs())))
            }
        }
    }

    async fn recovered(&self) {
        self.api_server.recovered().await;
    }
}

/// Follows the agent and writes what changed. Ends when the agent's snapshots do.
pub async fn write(
    agent: Agent,
    sink: impl Sink,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    mut kube_proxy: watch::Receiver<KubeProxy>,
    tasks: Tasks,
) {
    let mut pace = Pace::new(tasks.register("write-status"), Instant::now());
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let seen = kube_proxy.borrow_and_update().clone();
        let due = pace.consider(&agent, &snapshot, &seen, Timestamp::now());
        if due.is_some_and(|due| due <= Instant::now()) {
            pace.put(&sink).await;
            continue;
        }
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            Ok(()) = kube_proxy.changed() => {}
            () = sink.recovered(), if pace.not_before.is_some() => pace.not_before = None,
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
        }
    }
}

/// When to write what.
struct Pace {
    task: Task,
    started: Instant,
    /// What should be there.
    wanted: NodeDatapathStatus,
    /// What was written; none if that is not known.
    written: Option<NodeDatapathStatus>,
    /// Generation of the object when it was found to be gone: there is no point in writing to that again.
    gone: Option<i64>,
    last: Option<Instant>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Pace {
    fn new(task: Task, started: Instant) -> Self {
        Self {
            task,
            started,
            wanted: NodeDatapathStatus::default(),
            written: None,
            gone: None,
            last: None,
            pause: RETRY_FIRST,
            not_before: None,
        }
    }

    /// Takes note of the agent's state; returns when the next write is due, if one is.
    fn consider(
        &mut self,
        agent: &Agent,
        snapshot: &Snapshot,
        kube_proxy: &KubeProxy,
        now: Timestamp,
    ) -> Option<Instant> {
        let Some(object) = &snapshot.object else {
            // Another object of the same name starts afresh.
            (self.written, self.gone) = (None, None);
            return None;
        };
        if self.gone.is_some_and(|gone| gone == object.generation) {
            return None;
        }
        // Before the first write: what the agent before this one has written.
        let before = self.written.as_ref().unwrap_or(&object.status);
        self.wanted = build(agent, snapshot, kube_proxy, before, now);
        let pace = match &self.written {
            None => Duration::ZERO,
            Some(written) if *written == self.wanted => return None,
            Some(written) if significant(written) != significant(&self.wanted) => SOON,
            Some(_) => LATER,
        };
        let paced = self.last.map_or(self.started, |last| last + pace);
        let settled = if snapshot.is_settled() {
            self.started
        } else {
            self.started + SETTLE
        };
        Some(paced.max(settled).max(self.not_before.unwrap_or(self.started)))
    }

    async fn put(&mut self, sink: &impl Sink) {
        let outcome = sink.put(&self.wanted).await;
        let now = Instant::now();
        self.last = Some(now);
        match outcome {
            Ok(()) => {
                debug!("status written");
                self.task.succeeded(Timestamp::now());
                self.written = Some(self.wanted.clone());
                (self.pause, self.not_before) = (RETRY_FIRST, None);
            }
            Err(SinkError::Gone) => {
                self.gone = self.wanted.conditions.iter().find_map(|c| c.observed_generation);
                self.task.succeeded(Timestamp::now());
            }
            Err(SinkError::Failed(message)) => {
                if self.task.failed(Timestamp::now(), &message) {
                    warn!("the status cannot be written and is tried again: {message}");
                }
                self.not_before = Some(now + self.pause);
                self.pause = (self.pause * 2).min(RETRY_LONGEST);
            }
        }
    }
}
