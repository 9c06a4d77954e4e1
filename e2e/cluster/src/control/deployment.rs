//! Deployment -> Pods. There are no ReplicaSets between them: nothing here needs their history.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::{Controller, controller::Action, watcher},
};

use super::{
    Failure, names, pods, retry_soon,
    rollout::{TEMPLATE_HASH, step},
};

/// Runs until it is dropped.
pub(super) async fn run(client: Client) {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let pods: Api<Pod> = Api::all(client.clone());
    Controller::new(deployments, watcher::Config::default())
        .owns(pods, watcher::Config::default())
        .run(reconcile, retry_soon, Arc::new(client))
        .for_each(|_done| std::future::ready(()))
        .await;
}

async fn reconcile(deployment: Arc<Deployment>, client: Arc<Client>) -> Result<Action, Failure> {
    let spec = &deployment.spec;
    if deployment.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let api: Api<Pod> = Api::namespaced((*client).clone(), &deployment.namespace().unwrap_or_default());
    // Listed, not cached: a cache that lags behind our own creations would make us create them twice.
    let list = api
        .list(&ListParams::default().labels(&pods::selector_text(&spec.selector)))
        .await?;
    let uid = deployment.uid().unwrap_or_default();
    let owned: Vec<Pod> = list
        .items
        .into_iter()
        .filter(|pod| pods::is_owned_by(pod, &uid))
        .collect();

    let hash = names::hash(&serde_json::to_vec(&spec.template)?);
    let replicas = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
    let next = step(replicas, &hash, &owned);
    for _ in 0..next.create {
        api.create(&PostParams::default(), &pod(&deployment, spec, &hash))
            .await?;
    }
    for pod in &next.delete {
        let this_one = Preconditions {
            uid: pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(this_one),
            ..DeleteParams::default()
        };
        api.delete(&pod.name_any(), &params).await?;
    }
    report(&client, &deployment, spec, &hash, &owned).await?;
    Ok(Action::await_change())
}

fn pod(deployment: &Deployment, spec: &DeploymentSpec, hash: &str) -> Pod {
    let template = spec.template.metadata.clone().unwrap_or_default();
    let mut labels: BTreeMap<String, String> = template.labels.unwrap_or_default();
    labels.insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}-{}", deployment.name_any(), names::suffix())),
            namespace: deployment.namespace(),
            labels: Some(labels),
            annotations: template.annotations,
            owner_references: deployment.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: spec.template.spec.clone(),
        status: None,
    }
}

async fn report(
    client: &Client,
    deployment: &Deployment,
    spec: &DeploymentSpec,
    hash: &str,
    owned: &[Pod],
) -> Result<(), Failure> {
    let status = status(deployment, spec, hash, owned, &Time(Timestamp::now()));
    if deployment.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
    let patch = Patch::Merge(serde_json::json!({ "status": status }));
    api.patch_status(&deployment.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Counts are always written, zeroes too: a merge patch leaves out what is not there.
fn status(deployment: &Deployment, spec: &DeploymentSpec, hash: &str, owned: &[Pod], now: &Time) -> DeploymentStatus {
    let active: Vec<&Pod> = owned
        .iter()
        .filter(|pod| !pods::is_terminating(pod) && !pods::is_finished(pod))
        .collect();
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(active.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    let wanted = spec.replicas.unwrap_or(1);
    let ready = count(&pods::is_ready);
    let updated = count(&|pod| pod.labels().get(TEMPLATE_HASH).is_some_and(|own| own == hash));
    let conditions = [
        (
            "Available",
            ready >= wanted,
            "MinimumReplicasAvailable",
            "MinimumReplicasUnavailable",
        ),
        ("Progressing", true, "ReplicasUpdated", ""),
    ];
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(count(&|_| true)),
        updated_replicas: Some(updated),
        ready_replicas: Some(ready),
        available_replicas: Some(ready),
        unavailable_replicas: Some((wanted - ready).max(0)),
        conditions: Some(
            conditions
                .map(|(kind, holds, yes, no)| condition(deployment, kind, holds, if holds { yes } else { no }, now))
                .into(),
        ),
        ..DeploymentStatus::default()
    }
}

fn condition(deployment: &Deployment, kind: &str, holds: bool, reason: &str, now: &Time) -> DeploymentCondition {
    let status = if holds { "True" } else { "False" };
    let old = deployment
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let unchanged = old
        .into_iter()
        .find(|old| old.type_.as_deref() == Some(kind) && old.status.as_deref() == Some(status));
    unchanged.cloned().unwrap_or_else(|| DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(status.to_owned()),
        reason: Some(reason.to_owned()),
        last_transition_time: Some(now.clone()),
        last_update_time: Some(now.clone()),
        ..DeploymentCondition::default()
    })
}
