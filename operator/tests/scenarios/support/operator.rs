//! Operators that run inside of the test.

use std::time::Duration;

use kpr_operator::connect::Connection;
use kpr_operator::drain::Limits;
use kpr_operator::lease::Timing;
use kpr_operator::run::Election;
use kpr_operator::{Error, Settings, controller, kube_proxy, run};
use kube::{Client, Config};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Namespace of the Lease.
pub(crate) const NAMESPACE: &str = "kube-system";

/// An operator, to be started. Its requests carry its identity as their user agent.
pub(crate) struct OperatorBuilder {
    url: http::Uri,
    settings: Settings,
}

impl OperatorBuilder {
    pub(crate) fn new(url: http::Uri) -> Self {
        let controller = controller::Settings {
            limits: Limits::default(),
            kube_proxy: kube_proxy::Settings::default(),
            collect: Duration::from_millis(20),
            status_interval: Duration::from_millis(100),
            identity: "operator".to_owned(),
        };
        let settings = Settings {
            election: None,
            controller,
            first_retry: Duration::from_millis(50),
        };
        Self { url, settings }
    }

    /// How long a removal waits for a node that is down.
    pub(crate) fn node_down_wait(mut self, wait: Duration) -> Self {
        self.settings.controller.limits.node_down = wait;
        self
    }

    /// Least time between two writes of a status.
    pub(crate) fn status_interval(mut self, interval: Duration) -> Self {
        self.settings.controller.status_interval = interval;
        self
    }

    /// How long a removal waits for kube-proxy to come back to a node.
    pub(crate) fn kube_proxy_wait(mut self, wait: Duration) -> Self {
        self.settings.controller.kube_proxy.patience = wait;
        self
    }

    /// With leader election, under this name.
    pub(crate) fn elected(self, identity: &str) -> Self {
        let timing = Timing {
            duration: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(700),
            retry: Duration::from_millis(100),
        };
        self.elected_with(identity, timing)
    }

    /// With leader election, under this name, with this timing.
    pub(crate) fn elected_with(mut self, identity: &str, timing: Timing) -> Self {
        self.settings.election = Some(Election {
            namespace: NAMESPACE.to_owned(),
            timing,
        });
        identity.clone_into(&mut self.settings.controller.identity);
        self
    }

    pub(crate) fn start(self) -> Operator {
        let stop = CancellationToken::new();
        let mut config = Config::new(self.url.clone());
        let identity = self.settings.controller.identity.parse().expect("a header");
        config.headers.push((http::header::USER_AGENT, identity));
        let connection = Connection {
            client: Client::try_from(config).expect("client"),
            url: self.url.to_string(),
        };
        let task = tokio::spawn(run(connection, self.settings, stop.clone()));
        Operator { stop, task }
    }
}

/// An operator that runs. Dropping it ends it without a farewell, as a crash would.
pub(crate) struct Operator {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Operator {
    /// Stops it, and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task)
            .await
            .expect("no panic")
            .expect("an operator that is stopped ends well");
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Result<(), Error> {
        let ended = tokio::time::timeout(super::PATIENCE, &mut self.task).await;
        ended.expect("it ends").expect("no panic")
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}
