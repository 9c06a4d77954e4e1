//! One task per pod: its life from sandbox to removal.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use nix::sys::signal::Signal;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

use super::{
    pool::AddressPool,
    sandbox::{Sandbox, host_network},
    status::{Facts, Stage, pod_status, restarts_always},
};
use crate::{address::Addresses, process::Process, testbed::Testbed};

/// `terminationGracePeriodSeconds` where a pod does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// Pause after a sandbox could not be made, or a container ended.
const RETRY: Duration = Duration::from_millis(250);

/// What a pod's task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// The Pod object changed.
    Changed(Box<Pod>),
    /// Its server wants traffic, or no longer does.
    Ready(bool),
    /// The Pod object is gone.
    Gone,
}

/// What the tasks of a node share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) testbed: Arc<Testbed>,
    pub(super) node: String,
    pub(super) host: Addresses,
    pub(super) pool: Mutex<AddressPool>,
    pub(super) notify: PathBuf,
}

/// One pod.
pub(super) struct Worker {
    shared: Arc<Shared>,
    pod: Pod,
    stage: Stage,
    facts: Facts,
    inbox: UnboundedReceiver<Message>,
}

/// Why a pod's task goes on to the next step.
enum Next {
    Exited(i32),
    Terminate,
    Gone,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, pod: Pod, inbox: UnboundedReceiver<Message>) -> Self {
        let facts = Facts {
            host: shared.host,
            ..Facts::default()
        };
        Self {
            shared,
            pod,
            stage: Stage::Starting(None),
            facts,
            inbox,
        }
    }

    /// Lives the pod's life.
    pub(super) async fn run(mut self) {
        let name = self.pod.name_any();
        if let Err(error) = self.live().await {
            tracing::error!(pod = name, "{error:#}");
        }
    }

    async fn live(&mut self) -> Result<()> {
        let index = self.assign_addresses()?;
        let result = self.live_with_addresses().await;
        if let Some(index) = index {
            self.pool().release(index);
        }
        result
    }

    async fn live_with_addresses(&mut self) -> Result<()> {
        let Some(sandbox) = self.make_sandbox().await? else {
            return Ok(());
        };
        self.facts.pod = sandbox.addresses();
        let result = self.run_containers(&sandbox).await;
        let removed = sandbox.remove(&self.shared.node, &self.pod).await;
        removed.context("remove the pod's sandbox")?;
        if result? {
            self.delete_object().await?;
        }
        Ok(())
    }

    fn assign_addresses(&mut self) -> Result<Option<u32>> {
        let network = self.shared.testbed.spec().pod_network;
        if host_network(&self.pod) || network.chooses_addresses() {
            return Ok(None);
        }
        let taken = self.pool().take();
        let (index, addresses) = taken.with_context(|| format!("no address is free on {}", self.shared.node))?;
        self.facts.pod = addresses;
        Ok(Some(index))
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, AddressPool> {
        self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until it works or the pod goes. A pod of the same name that is still going may stand in the way.
    async fn make_sandbox(&mut self) -> Result<Option<Sandbox>> {
        loop {
            let testbed = Arc::clone(&self.shared.testbed);
            match Sandbox::create(testbed, &self.shared.node, &self.pod, self.facts.pod).await {
                Ok(sandbox) => return Ok(Some(sandbox)),
                Err(error) => {
                    tracing::warn!(pod = self.pod.name_any(), "{error:#}");
                    self.report(Stage::Starting(Some(format!("{error:#}")))).await?;
                }
            }
            match self.until(None, Some(Instant::now() + RETRY)).await? {
                Some(Next::Gone) => return Ok(None),
                Some(Next::Terminate) => {
                    self.delete_object().await?;
                    return Ok(None);
                }
                Some(Next::Exited(_)) | None => {}
            }
        }
    }

    /// Runs the pod's server, again and again if it asks for that. True if the object is to be deleted at the end,
    /// false if it is gone already.
    async fn run_containers(&mut self, sandbox: &Sandbox) -> Result<bool> {
        loop {
            let shared = Arc::clone(&self.shared);
            let started = sandbox.start(&shared.client, &shared.node, &self.pod, &shared.notify);
            let mut process = match started.await {
                Ok(process) => process,
                Err(error) => {
                    tracing::warn!(pod = self.pod.name_any(), "{error:#}");
                    self.report(Stage::Starting(Some(format!("{error:#}")))).await?;
                    match self.until(None, Some(Instant::now() + RETRY)).await? {
                        Some(Next::Gone) => return Ok(false),
                        Some(Next::Terminate) => return Ok(true),
                        Some(Next::Exited(_)) | None => continue,
                    }
                }
            };
            self.report(Stage::Running {
                since: now(),
                ready: false,
            })
            .await?;
            let _attended = sandbox.attend(&shared.client, &shared.node, &self.pod, &shared.notify)?;
            match self.until(Some(&mut process), None).await? {
                Some(Next::Gone) => return Ok(false),
                Some(Next::Terminate) => return self.terminate(&mut process).await,
                Some(Next::Exited(code)) => {
                    tracing::warn!(pod = self.pod.name_any(), code, "ended: {}", process.log_tail());
                    self.report(Stage::Ended(code)).await?;
                }
                None => {}
            }
            let pause = restarts_always(&self.pod).then(|| Instant::now() + RETRY);
            match self.until(None, pause).await? {
                Some(Next::Gone) => return Ok(false),
                Some(Next::Terminate) => return Ok(true),
                Some(Next::Exited(_)) | None => self.facts.restarts += 1,
            }
        }
    }

    /// SIGTERM, then SIGKILL when the grace period is over.
    async fn terminate(&mut self, process: &mut Process) -> Result<bool> {
        process.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + grace(&self.pod);
        loop {
            tokio::select! {
                code = exit_code(Some(process)) => {
                    let code = code?;
                    self.report(Stage::Ended(code)).await?;
                    return Ok(true);
                }
                () = sleep_until(deadline) => process.signal(Signal::SIGKILL)?,
                message = self.inbox.recv() => match message {
                    None | Some(Message::Gone) => return Ok(false),
                    Some(Message::Ready(ready)) => self.set_ready(ready).await?,
                    Some(Message::Changed(pod)) => self.pod = *pod,
                },
            }
        }
    }

    /// Goes on until the process ends, the pod is to go, or the deadline passes (None).
    async fn until(&mut self, mut process: Option<&mut Process>, deadline: Option<Instant>) -> Result<Option<Next>> {
        if self.pod.metadata.deletion_timestamp.is_some() {
            return Ok(Some(Next::Terminate));
        }
        loop {
            tokio::select! {
                code = exit_code(process.as_deref_mut()) => return Ok(Some(Next::Exited(code?))),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => return Ok(None),
                message = self.inbox.recv() => match message {
                    None | Some(Message::Gone) => return Ok(Some(Next::Gone)),
                    Some(Message::Ready(ready)) => self.set_ready(ready).await?,
                    Some(Message::Changed(pod)) => {
                        self.pod = *pod;
                        if self.pod.metadata.deletion_timestamp.is_some() {
                            return Ok(Some(Next::Terminate));
                        }
                    }
                },
            }
        }
    }

    async fn set_ready(&mut self, ready: bool) -> Result<()> {
        let Stage::Running { since, .. } = &self.stage else {
            return Ok(());
        };
        let since = since.clone();
        self.report(Stage::Running { since, ready }).await
    }

    async fn report(&mut self, stage: Stage) -> Result<()> {
        self.stage = stage;
        let status = serde_json::json!({ "status": pod_status(&self.pod, &self.stage, &self.facts, &now()) });
        let (api, name) = (self.api(), self.pod.name_any());
        match api
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await
        {
            Ok(pod) => self.pod.status = pod.status,
            // It goes away under our hands: the watch will say so.
            Err(kube::Error::Api(error)) if error.is_not_found() => {}
            Err(error) => return Err(error).context("report the pod's status"),
        }
        Ok(())
    }

    async fn delete_object(&self) -> Result<()> {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api().delete(&self.pod.name_any(), &now).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error).context("delete the terminated pod"),
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.shared.client.clone(), &self.pod.namespace().unwrap_or_default())
    }
}

/// The code that the process ends with, as a shell reports it. Never, if there is no process.
async fn exit_code(process: Option<&mut Process>) -> Result<i32> {
    match process {
        Some(process) => Ok(process.wait().await?.code().unwrap_or(128 + libc::SIGKILL)),
        None => std::future::pending().await,
    }
}

fn now() -> Time {
    Time(Timestamp::now())
}

/// How long the pod may take to end.
fn grace(pod: &Pod) -> Duration {
    let asked = pod.metadata.deletion_grace_period_seconds;
    let usual = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    asked
        .or(usual)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DEFAULT_GRACE, Duration::from_secs)
}
