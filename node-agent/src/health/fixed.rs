//! The ports that every node has: health of the proxy, and metrics.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use super::{Answer, Handler, Moment, ProxyHealth, Server, listeners::is_serving, node_eligible};
use crate::{
    agent::Snapshot,
    metrics::{Metrics, Probe, Probes},
    observe::Task,
};

/// Between attempts to open a port that is taken, as in kube-proxy.
const RETRY: Duration = Duration::from_secs(5);

/// What the health port answers.
pub fn proxy_health(snapshots: watch::Receiver<Arc<Snapshot>>, probes: Probes) -> Handler {
    Arc::new(move |path| {
        let snapshot = snapshots.borrow().clone();
        let now = Moment::now();
        let health = ProxyHealth::of(&snapshot, now);
        let (probe, answer) = match path {
            "/healthz" => {
                let eligible = node_eligible(snapshot.node.as_ref());
                (Probe::Healthz, Answer::healthz(&health, eligible, now))
            }
            "/livez" => (Probe::Livez, Answer::livez(&health, now)),
            _ => return Answer::not_found(),
        };
        probes.answered(probe, answer.status);
        answer
    })
}

/// What the metrics port answers.
pub fn metrics(metrics: Metrics) -> Handler {
    Arc::new(move |path| match path {
        "/metrics" => Answer::metrics(metrics.text()),
        "/proxyMode" => Answer::proxy_mode(),
        "/healthz" => Answer::ping(),
        _ => Answer::not_found(),
    })
}

/// Keeps a port open while this node's Services are ours. A port that is taken, as by a kube-proxy that still runs, is
/// tried again and again. Ends when the agent's snapshots do.
pub async fn serve_at(
    address: SocketAddr,
    handler: Handler,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    task: Task,
) {
    let mut server: Option<Server> = None;
    let mut not_before: Option<Instant> = None;
    loop {
        let wanted = is_serving(&snapshots.borrow_and_update());
        match server.take() {
            Some(open) if wanted => server = Some(open),
            Some(open) => {
                open.close().await;
                info!("{address} is closed: kpr does not serve this node");
            }
            None if wanted && not_before.is_none_or(|due| due <= Instant::now()) => {
                not_before = None;
                match Server::open(address, Arc::clone(&handler)) {
                    Ok(open) => {
                        task.succeeded(Timestamp::now());
                        info!("{address} is open");
                        server = Some(open);
                    }
                    Err(error) => {
                        if task.failed(Timestamp::now(), &format!("{address} cannot be opened: {error}")) {
                            warn!("{address} cannot be opened, trying again: {error}; does kube-proxy still run?");
                        }
                        not_before = Some(Instant::now() + RETRY);
                    }
                }
            }
            None => {
                if !wanted {
                    // Who does not want a port does not fail for want of it.
                    task.succeeded(Timestamp::now());
                    not_before = None;
                }
            }
        }
        let retry = not_before.filter(|_| wanted);
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = async { sleep_until(retry.unwrap_or_else(Instant::now)).await }, if retry.is_some() => {}
        }
    }
}
