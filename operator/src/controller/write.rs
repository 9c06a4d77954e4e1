//! Carries a decision out.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::DaemonSet;
use kpr_crds::names::{FINALIZER, OPERATOR_MANAGER};
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Settings;
use super::cache::Cache;
use super::reduced;
use super::superseded::Superseded;
use super::throttle::Throttle;
use crate::connect;
use crate::decide::{Decision, Deletion, Finalizer, NewStatus};
use crate::kube_proxy::{self, view::DaemonSetView};
use crate::notice::Notice;
use crate::render::Desired;

/// Requests of one decision that may be on their way at a time.
const AT_A_TIME: usize = 16;

/// What could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{what} can't be written: {}", connect::causes(.source))]
pub(super) struct WriteError {
    what: String,
    source: kube::Error,
}

impl WriteError {
    fn new(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self {
            what: what.into(),
            source,
        }
    }

    /// Did someone else write in between?
    pub(super) fn is_conflict(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if status.code == 409)
    }
}

/// Writes what was decided.
pub(super) struct Writer {
    policies: Api<KubeProxyReplacement>,
    datapaths: Api<NodeDatapath>,
    recorder: Recorder,
    known: Cache<Arc<NodeDatapath>>,
    daemon_sets: Cache<Option<Arc<DaemonSetView>>>,
    client: Client,
    superseded: Superseded,
    statuses: Throttle,
    /// Forced: fields that the operator applies are the operator's, whoever changed them.
    apply: PatchParams,
}

impl Writer {
    pub(super) fn new(
        client: Client,
        settings: &Settings,
        known: Cache<Arc<NodeDatapath>>,
        daemon_sets: Cache<Option<Arc<DaemonSetView>>>,
    ) -> Self {
        let reporter = Reporter {
            controller: OPERATOR_MANAGER.to_owned(),
            instance: Some(settings.identity.clone()),
        };
        Self {
            policies: Api::all(client.clone()),
            datapaths: Api::all(client.clone()),
            recorder: Recorder::new(client.clone(), reporter),
            known,
            daemon_sets,
            client,
            superseded: Superseded::default(),
            statuses: Throttle::new(settings.status_interval),
            apply: PatchParams::apply(OPERATOR_MANAGER).force(),
        }
    }

    /// Is this a version of the policy that we have replaced ourselves? Then the newer one is on its way to us.
    pub(super) fn has_replaced(&self, policy: &KubeProxyReplacement) -> bool {
        self.superseded
            .contains(&policy.name_any(), policy.resource_version().as_deref())
    }

    /// Carries the decision out, in its order. A node that can't be written does not keep others from it, but the
    /// finalizer stays. Returns how long the status has to wait, if it is too early to write it again.
    pub(super) async fn carry_out(
        &self,
        policy: &KubeProxyReplacement,
        decision: Decision,
    ) -> Result<Option<Duration>, WriteError> {
        let Decision {
            finalizer,
            apply,
            delete,
            daemon_sets,
            status,
            mut notices,
            again_in: _,
        } = decision;
        if finalizer == Finalizer::Take {
            self.set_finalizers(policy, true).await?;
        }
        let applied = all(apply.into_iter().map(|desired| self.apply_datapath(desired))).await;
        let deleted = all(delete.into_iter().map(|deletion| self.delete_datapath(deletion))).await;
        let patched = all(daemon_sets.into_iter().map(|patch| self.patch_daemon_set(patch))).await;
        let mut wait = None;
        if let Some(new) = status {
            let NewStatus {
                status,
                urgent,
                notices: told,
            } = new;
            wait = self
                .statuses
                .left(&policy.name_any(), Instant::now())
                .filter(|_| !urgent);
            if wait.is_none() {
                self.write_status(policy, &status).await?;
                self.statuses.wrote(&policy.name_any(), Instant::now());
                notices.extend(told);
            }
        }
        applied.and(deleted).and(patched)?;
        // Told last: if something above failed, the next try tells it.
        for notice in notices {
            self.publish(policy, notice).await;
        }
        if finalizer == Finalizer::Release {
            self.set_finalizers(policy, false).await?;
            self.statuses.forget(&policy.name_any());
            info!(policy = %policy.name_any(), "every node is done: the object may go");
        }
        Ok(wait)
    }

    /// A merge patch of the version that we know: refused (409) if anyone wrote in between.
    async fn set_finalizers(&self, policy: &KubeProxyReplacement, ours: bool) -> Result<(), WriteError> {
        let name = policy.name_any();
        let mut finalizers: Vec<_> = policy
            .finalizers()
            .iter()
            .filter(|name| *name != FINALIZER)
            .cloned()
            .collect();
        if ours {
            finalizers.push(FINALIZER.to_owned());
        }
        let metadata = json!({ "resourceVersion": policy.resource_version(), "finalizers": finalizers });
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let params = PatchParams {
            field_manager: Some(OPERATOR_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let what = format!("the finalizer of KubeProxyReplacement {name}");
        match self.policies.patch_metadata(&name, &params, &patch).await {
            Ok(written) => self.wrote(policy, &written.metadata),
            Err(error) if !ours && is_gone(&error) => {}
            Err(error) => return Err(WriteError::new(what)(error)),
        }
        Ok(())
    }

    async fn apply_datapath(&self, desired: Desired) -> Result<(), WriteError> {
        let node = &desired.node;
        let what = || format!("NodeDatapath {node}");
        let body = desired
            .to_apply()
            .map_err(|error| WriteError::new(what())(kube::Error::SerdeError(error)))?;
        let patch = Patch::Apply(body);
        let written = self
            .datapaths
            .patch(node, &self.apply, &patch)
            .await
            .map_err(WriteError::new(what()))?;
        self.known.put(node.clone(), reduced(written));
        info!(
            node,
            policy = %desired.owner.name,
            generation = desired.spec.policy_generation,
            phase = desired.spec.phase.as_str(),
            "NodeDatapath written"
        );
        Ok(())
    }

    /// A merge patch of the version that we know: refused (409) if anyone wrote in between.
    async fn patch_daemon_set(&self, patch: kube_proxy::Patch) -> Result<(), WriteError> {
        let kube_proxy::Patch { namespace, name, body } = patch;
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), &namespace);
        let params = PatchParams {
            field_manager: Some(OPERATOR_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match sets.patch(&name, &params, &Patch::Merge(body)).await {
            Ok(written) => {
                self.daemon_sets
                    .put(name.clone(), DaemonSetView::of(&written).map(Arc::new));
                info!("DaemonSet {namespace}/{name} written");
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(WriteError::new(format!("DaemonSet {namespace}/{name}"))(error)),
        }
        Ok(())
    }

    async fn delete_datapath(&self, deletion: Deletion) -> Result<(), WriteError> {
        let Deletion { node, uid } = deletion;
        let preconditions = Preconditions {
            uid,
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.datapaths.delete(&node, &params).await {
            Ok(_) => info!(node, "NodeDatapath deleted"),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(WriteError::new(format!("the deletion of NodeDatapath {node}"))(error)),
        }
        Ok(())
    }

    async fn write_status(
        &self,
        policy: &KubeProxyReplacement,
        status: &KubeProxyReplacementStatus,
    ) -> Result<(), WriteError> {
        let name = policy.name_any();
        let body = json!({
            "apiVersion": KubeProxyReplacement::api_version(&()),
            "kind": KubeProxyReplacement::kind(&()),
            "metadata": { "name": name },
            "status": status,
        });
        match self
            .policies
            .patch_status(&name, &self.apply, &Patch::Apply(body))
            .await
        {
            Ok(written) => self.wrote(policy, &written.metadata),
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                return Err(WriteError::new(format!("the status of KubeProxyReplacement {name}"))(
                    error,
                ));
            }
        }
        Ok(())
    }

    /// The policy has another version now than the one that was decided on.
    fn wrote(&self, policy: &KubeProxyReplacement, written: &ObjectMeta) {
        let before = policy.resource_version();
        self.superseded.note(
            &policy.name_any(),
            before.as_deref(),
            written.resource_version.as_deref(),
        );
    }

    /// An Event that can't be published is a pity, no failure.
    async fn publish(&self, policy: &KubeProxyReplacement, notice: Notice) {
        let Notice {
            warning,
            reason,
            action,
            note,
        } = notice;
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            // The API takes at most 1 kB.
            note: Some(note.chars().take(1000).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &policy.object_ref(&())).await {
            warn!(reason, "an Event can't be published: {}", connect::causes(&error));
        }
    }
}

/// Does all of the work, some at a time; the first failure is returned when everything is done.
async fn all<F>(work: impl Iterator<Item = F>) -> Result<(), WriteError>
where
    F: Future<Output = Result<(), WriteError>>,
{
    let results = stream::iter(work).buffer_unordered(AT_A_TIME);
    results
        .fold(Ok(()), |first: Result<(), WriteError>, result| ready(first.and(result)))
        .await
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
