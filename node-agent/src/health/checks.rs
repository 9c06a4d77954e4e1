//! The health check ports of Services: opened and closed as Services come, change and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{Answer, Events, Failure, Handler, Listener, Moment, ProxyHealth, Server, listeners};
use crate::{agent::Snapshot, model::NamespacedName, observe::Task};

/// Between attempts to open ports that are taken.
const RETRY: Duration = Duration::from_secs(5);
/// An API server that is away must not keep ports from being opened and closed.
const EVENT_PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the health check ports open that Services have, and no others. Ends when the agent's snapshots do.
pub async fn serve_checks(mut snapshots: watch::Receiver<Arc<Snapshot>>, events: Events, task: Task) {
    let mut ports = Ports {
        answers: snapshots.clone(),
        open: BTreeMap::new(),
        failing: BTreeSet::new(),
    };
    let mut retry: Option<Instant> = None;
    loop {
        let wanted = listeners(&snapshots.borrow_and_update());
        ports.close_others(&wanted).await;
        let is_due = retry.is_none_or(|due| due <= Instant::now());
        for failure in ports.open(&wanted, is_due, &task) {
            // The API server may be slow, ports are not.
            let _ = timeout(EVENT_PATIENCE, events.tell(&failure)).await;
        }
        if is_due || ports.failing.is_empty() {
            retry = (!ports.failing.is_empty()).then(|| Instant::now() + RETRY);
        }
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = async { sleep_until(retry.unwrap_or_else(Instant::now)).await }, if retry.is_some() => {}
        }
    }
}

struct Ports {
    /// Where answers come from.
    answers: watch::Receiver<Arc<Snapshot>>,
    open: BTreeMap<Listener, Server>,
    /// Wanted, but taken by somebody else.
    failing: BTreeSet<Listener>,
}

impl Ports {
    /// Closes what is no longer wanted, and only then are others opened: a port may go from one Service to another.
    async fn close_others(&mut self, wanted: &BTreeSet<Listener>) {
        self.failing.retain(|listener| wanted.contains(listener));
        let unwanted: Vec<_> = self.open.keys().filter(|l| !wanted.contains(l)).cloned().collect();
        for listener in unwanted {
            if let Some(server) = self.open.remove(&listener) {
                server.close().await;
                info!("health check {} of {} is closed", listener.address, listener.service);
            }
        }
    }

    /// Opens what is wanted and not open; what has failed only if `again`. Returns failures that are news.
    fn open(&mut self, wanted: &BTreeSet<Listener>, again: bool, task: &Task) -> Vec<Failure> {
        let mut news = Vec::new();
        let mut failure = None;
        for listener in wanted {
            if self.open.contains_key(listener) || (!again && self.failing.contains(listener)) {
                continue;
            }
            let Listener { service, address } = listener;
            match Server::open(*address, self.handler(service.clone())) {
                Ok(server) => {
                    info!("health check {address} of {service} is open");
                    self.failing.remove(listener);
                    self.open.insert(listener.clone(), server);
                }
                Err(error) => {
                    failure.get_or_insert_with(|| format!("{address} of Service {service} cannot be opened: {error}"));
                    if self.failing.insert(listener.clone()) {
                        warn!("health check {address} of Service {service} cannot be opened, trying again: {error}");
                        news.push(Failure {
                            service: service.clone(),
                            port: address.port(),
                            error,
                        });
                    }
                }
            }
        }
        match failure {
            Some(failure) => drop(task.failed(Timestamp::now(), &failure)),
            None if self.failing.is_empty() => task.succeeded(Timestamp::now()),
            None => {}
        }
        news
    }

    /// Any path is answered: load balancers differ in which they ask for.
    fn handler(&self, service: NamespacedName) -> Handler {
        let snapshots = self.answers.clone();
        Arc::new(move |_path| {
            let snapshot = snapshots.borrow().clone();
            let mut checks = snapshot.health_checks.iter();
            let check = checks.find(|check| check.service == service);
            // A Service that is gone has no endpoint, until its port is closed a moment later.
            let count = check.map_or(0, |check| check.local_ready_endpoints);
            let healthy = ProxyHealth::of(&snapshot, Moment::now()).healthy;
            Answer::health_check(&service, count, healthy)
        })
    }
}
