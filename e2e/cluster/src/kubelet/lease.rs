//! The sign of life of a node: its Lease, from which kube-controller-manager knows that the kubelet runs.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::Node,
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource as _,
    api::{Patch, PatchParams},
};

/// The namespace of nodes' Leases.
const NAMESPACE: &str = "kube-node-lease";
/// A kubelet's `nodeLeaseDurationSeconds`.
const SECONDS: i32 = 40;
/// A kubelet renews its Lease four times in that time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Before a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Renews the Lease of `node` until it is dropped.
pub(super) async fn renew(client: Client, node: Node) {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    loop {
        let pause = match apply(&leases, &node).await {
            Ok(()) => INTERVAL,
            Err(error) => {
                tracing::debug!("renew a node's lease: {error:#}");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn apply(leases: &Api<Lease>, node: &Node) -> Result<()> {
    let name = node.metadata.name.clone().context("a node without a name")?;
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: node.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    leases
        .patch(&name, &PatchParams::apply("kubelet"), &Patch::Apply(&lease))
        .await?;
    Ok(())
}
