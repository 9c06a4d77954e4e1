//! The controllers of a cluster that its Services need, as clients of the API.

mod deployment;
mod endpointslice;
mod names;
pub mod pods;
mod rollout;
mod scheduler;
mod slices;

use std::{sync::Arc, time::Duration};

use kube::{Client, runtime::controller::Action};
use tokio::task::JoinSet;

/// Pause before a reconciliation that failed is tried again. Most failures are conflicts with another writer.
const RETRY: Duration = Duration::from_millis(100);

/// What stopped a reconciliation.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Starts all of them; they end with the returned set.
pub fn start(client: &Client) -> JoinSet<()> {
    let mut controllers = JoinSet::new();
    controllers.spawn(scheduler::run(client.clone()));
    controllers.spawn(deployment::run(client.clone()));
    controllers.spawn(endpointslice::run(client.clone()));
    controllers
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that kube's Controller asks for"
)]
fn retry_soon<K: kube::Resource<DynamicType = ()>, C>(object: Arc<K>, failure: &Failure, _context: Arc<C>) -> Action {
    let (kind, name) = (K::kind(&()), object.meta().name.clone().unwrap_or_default());
    tracing::debug!("{kind} {name}: {failure}");
    Action::requeue(RETRY)
}
