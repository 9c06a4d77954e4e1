//! Whether the API server answers. Watches that were interrupted resume in silence, so this is asked for itself.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::stream::chain;
use crate::observe::{Task, Tasks, api::Kubernetes};

/// The kinds that the agent watches, as the reference prints them.
pub const APIS: [&str; 5] = [
    "core/v1::Node",
    "core/v1::Pod",
    "core/v1::Service",
    "discovery.k8s.io/v1::EndpointSlice",
    "kpr.dev/v1alpha1::NodeDatapath",
];

/// Between questions while it answers.
const WHILE_WELL: Duration = Duration::from_secs(30);
/// Between the first questions while it is away; doubled up to [`AWAY_LONG`].
const WHILE_AWAY: Duration = Duration::from_secs(1);
const AWAY_LONG: Duration = Duration::from_secs(15);
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known about the API server. Clones share it.
#[derive(Clone, Debug)]
pub struct ApiServer {
    state: Arc<watch::Sender<Kubernetes>>,
    doubt: Arc<Notify>,
}

impl ApiServer {
    /// Nothing is known yet about the one at `server`.
    pub fn new(server: String) -> Self {
        let state = Kubernetes {
            server,
            apis: APIS.map(str::to_owned).to_vec(),
            ..Kubernetes::default()
        };
        Self {
            state: Arc::new(watch::Sender::new(state)),
            doubt: Arc::new(Notify::new()),
        }
    }

    /// The state now.
    pub fn state(&self) -> Kubernetes {
        self.state.borrow().clone()
    }

    /// Somebody could not reach it: ask now.
    pub fn doubt(&self) {
        if self.state.borrow().reachable {
            self.doubt.notify_one();
        }
    }

    /// Returns when it answers again after having been away.
    pub async fn recovered(&self) {
        let mut state = self.state.subscribe();
        let mut was = state.borrow_and_update().reachable;
        while state.changed().await.is_ok() {
            let is = state.borrow_and_update().reachable;
            if is && !was {
                return;
            }
            was = is;
        }
        std::future::pending::<()>().await;
    }

    /// Asks again and again, and says each change of state once. Never ends.
    pub async fn heartbeat(self, client: Client, tasks: Tasks) {
        let task = tasks.register("k8s-heartbeat");
        let mut pause = WHILE_AWAY;
        loop {
            let answer = match timeout(PATIENCE, client.apiserver_version()).await {
                Ok(Ok(version)) => Ok(version),
                Ok(Err(error)) => Err(chain(&error)),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            pause = match &answer {
                Ok(_) => WHILE_WELL,
                Err(_) if task.is_failing() => (pause * 2).min(AWAY_LONG),
                Err(_) => WHILE_AWAY,
            };
            let answer = answer.map(|info| (info.git_version, info.platform));
            self.record(&task, answer, Timestamp::now());
            tokio::select! {
                () = sleep(pause) => {}
                () = self.doubt.notified() => {}
            }
        }
    }

    /// Takes an answer: version and platform, or why there is none.
    fn record(&self, task: &Task, answer: Result<(String, String), String>, now: Timestamp) {
        let first = self.state.borrow().since.is_none();
        let was = self.state.borrow().reachable;
        let server = self.state.borrow().server.clone();
        match answer {
            Ok((version, platform)) => {
                task.succeeded(now);
                if first || !was {
                    info!("API server {server} answers: {version} on {platform}");
                }
                self.state.send_modify(|state| {
                    if first || !was {
                        state.since = Some(now);
                    }
                    state.reachable = true;
                    state.version = Some(version);
                    state.platform = Some(platform);
                    state.message = None;
                });
            }
            Err(message) => {
                task.failed(now, &message);
                if first || was {
                    warn!(
                        "API server {server} does not answer ({message}); the datapath goes on with what it has, and \
                         the agent keeps trying"
                    );
                }
                self.state.send_modify(|state| {
                    if first || was {
                        state.since = Some(now);
                    }
                    state.reachable = false;
                    state.message = Some(message);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_outage_is_dated_from_its_first_failure_and_the_version_is_kept() {
        let server = ApiServer::new("http://192.168.49.2:8443/".into());
        let task = Tasks::default().register("k8s-heartbeat");
        let well = || Ok(("v1.36.2".to_owned(), "linux/amd64".to_owned()));
        assert!(!server.state().reachable);

        server.record(&task, well(), at(10));
        server.record(&task, well(), at(40));
        assert_eq!((server.state().reachable, server.state().since), (true, Some(at(10))));

        server.record(&task, Err("refused".into()), at(50));
        server.record(&task, Err("timed out".into()), at(51));
        let away = server.state();
        assert_eq!((away.reachable, away.since), (false, Some(at(50))));
        assert_eq!(away.message.as_deref(), Some("timed out"));
        assert_eq!(away.version.as_deref(), Some("v1.36.2"));
        assert!(task.is_failing());

        server.record(&task, well(), at(60));
        let back = server.state();
        assert_eq!((back.reachable, back.since, back.message), (true, Some(at(60)), None));
    }
}
