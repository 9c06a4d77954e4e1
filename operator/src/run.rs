//! The life of an operator: find the API, become the leader, reconcile, release the lease.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::connect::Connection;
use crate::controller;
use crate::lease::{Elector, Timing};

/// Longest time that is spent on finishing work and releasing the lease.
const GOODBYE: Duration = Duration::from_secs(5);

/// How an operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Leader election, if there is any.
    pub election: Option<Election>,
    /// How the controller behaves.
    pub controller: controller::Settings,
    /// Time between two looks at an API server that is away or has no CRDs; it doubles, up to half a minute.
    pub first_retry: Duration,
}

/// Leader election.
#[derive(Clone, Debug)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// How long it is valid.
    pub timing: Timing,
}

/// Why an operator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Someone else may be the leader now, so nothing may be written any more.
    #[error("the lease was lost: another operator may be the leader; this one stops, start it again to stand by")]
    LeaseLost,
}

/// Runs an operator until `stop` is cancelled.
///
/// An API server that is away, or that has no CRDs yet, is waited for, with a line in the log that says what to do.
/// On return no write is under way any more.
pub async fn run(connection: Connection, settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let Settings {
        election,
        controller,
        first_retry,
    } = settings;
    if unless(&stop, usable(&connection, first_retry)).await.is_none() {
        return Ok(());
    }
    let client = connection.client.clone();
    let Some(election) = election else {
        until_stopped(controller::run(client, controller, stop.clone()), &stop).await;
        return Ok(());
    };
    let mut elector = Elector::new(
        client.clone(),
        &election.namespace,
        &controller.identity,
        election.timing,
    );
    if unless(&stop, elector.acquire()).await.is_none() {
        return Ok(());
    }
    // The lease is kept while the last work is finished, and by a task of its own: work must not keep it from being renewed.
    let finished = CancellationToken::new();
    let keeping = tokio::spawn(keep(elector, finished.clone()));
    let stopped = finished.clone().drop_guard();
    let mut keeping = AbortOnDropHandle::new(keeping);
    let kept = tokio::select! {
        kept = &mut keeping => kept,
        () = until_stopped(controller::run(client, controller, stop.clone()), &stop) => {
            drop(stopped);
            keeping.await
        }
    };
    let Ok(Some(elector)) = kept else {
        return Err(Error::LeaseLost);
    };
    match timeout(GOODBYE, elector.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("the lease could not be released, it runs out by itself: {error}"),
        Err(_) => warn!("the lease could not be released in time, it runs out by itself"),
    }
    Ok(())
}

/// Keeps the lease until the work is finished, and gives the elector back; nothing if the lease is lost before.
async fn keep(mut elector: Elector, finished: CancellationToken) -> Option<Elector> {
    unless(&finished, elector.keep()).await.is_none().then_some(elector)
}

/// Runs the controller, and for [`GOODBYE`] after `stop` at most.
async fn until_stopped(controller: impl Future<Output = ()>, stop: &CancellationToken) {
    tokio::select! {
        () = controller => {}
        () = async {
            stop.cancelled().await;
            info!("stopping: work that has begun is finished");
            sleep(GOODBYE).await;
        } => warn!("work is not finished in time: stopping in the midst of it"),
    }
}

/// Waits until the API server answers and knows the CRDs.
async fn usable(connection: &Connection, first_retry: Duration) {
    const LONGEST: Duration = Duration::from_secs(30);
    let mut wait = first_retry;
    while let Err(error) = connection.check().await {
        warn!("{error}; looking again in {wait:?}");
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
    info!(url = %connection.url, "the API server answers and knows the CRDs");
}

/// The work's result, or nothing if `stop` came first.
async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        result = work => Some(result),
    }
}
