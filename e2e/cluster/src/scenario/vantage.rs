//! Where a client stands, and what it does there.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::{
    client::{Bound, Echoes, Flows, Held, Paced, Started, Tally, UdpHeld, UdpStyle},
    cluster::Cluster,
    process::{Launch, Session},
};

/// How long a session may take to start, or to sum up.
const SESSION_PATIENCE: Duration = Duration::from_secs(30);

/// How long one of very many flows may wait for its answer, and all of them together.
const FLOW_PATIENCE: Duration = Duration::from_secs(10);
const FLOWS_PATIENCE: Duration = Duration::from_mins(3);

/// Where a client stands.
#[derive(Clone)]
pub enum Vantage {
    /// In a pod.
    Pod(Box<Pod>),
    /// On a node, outside any pod.
    Node(String),
    /// Outside the cluster.
    Outside,
}

impl fmt::Display for Vantage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) => write!(formatter, "pod {}", pod.name_any()),
            Self::Node(node) => formatter.write_str(node),
            Self::Outside => formatter.write_str("the outside"),
        }
    }
}

impl Vantage {
    /// In `pod`.
    pub fn pod(pod: &Pod) -> Self {
        Self::Pod(Box::new(pod.clone()))
    }

    /// On the node called `name`.
    pub fn node(name: &str) -> Self {
        Self::Node(name.to_owned())
    }

    /// One request that gives up soon: is anybody there?
    pub(super) async fn probe(&self, cluster: &Cluster, target: SocketAddr, udp: bool) -> Result<Tally> {
        let client = self.client(cluster, if udp { "udp" } else { "http" }, target)?;
        client.args(["--timeout-ms", "300"]).output().await?.json()
    }

    /// Several requests at once, each of which has a second: long enough for whoever is there, however busy the machine.
    pub(super) async fn knock(&self, cluster: &Cluster, target: SocketAddr, udp: bool) -> Result<Tally> {
        let client = self.client(cluster, if udp { "udp" } else { "http" }, target)?;
        let client = client.args(["--count", "5", "--parallel", "5", "--timeout-ms", "1000"]);
        client.output().await?.json()
    }

    /// Makes `count` HTTP requests to `target`, one after the other.
    pub async fn http(&self, cluster: &Cluster, target: SocketAddr, count: u32) -> Result<Tally> {
        let client = self.client(cluster, "http", target)?;
        client.args(["--count", &count.to_string()]).output().await?.json()
    }

    /// Makes one HTTP request to `target` from a port of one's own, which was not used for this target within a minute.
    pub async fn http_from(&self, cluster: &Cluster, local_port: u16, target: SocketAddr) -> Result<Tally> {
        let client = self.client(cluster, "http", target)?;
        let client = client.args(["--local-port", &local_port.to_string(), "--timeout-ms", "5000"]);
        client.output().await?.json()
    }

    /// Makes `count` HTTP requests to `target`, `parallel` at a time.
    pub async fn http_parallel(
        &self,
        cluster: &Cluster,
        target: SocketAddr,
        count: u32,
        parallel: u32,
    ) -> Result<Tally> {
        let client = self.client(cluster, "http", target)?;
        client
            .args(["--count", &count.to_string(), "--parallel", &parallel.to_string()])
            .output()
            .await?
            .json()
    }

    /// Sends `count` datagrams to `target`.
    pub async fn udp(&self, cluster: &Cluster, target: SocketAddr, style: UdpStyle, count: u32) -> Result<Tally> {
        let style = match style {
            UdpStyle::Connected => "connected",
            UdpStyle::Unconnected => "unconnected",
        };
        let client = self.client(cluster, "udp", target)?;
        client
            .args(["--count", &count.to_string(), "--style", style])
            .output()
            .await?
            .json()
    }

    /// Sets `count` associations with `target` up, one after the other.
    pub async fn sctp(&self, cluster: &Cluster, target: SocketAddr, count: u32) -> Result<Tally> {
        let client = self.client(cluster, "sctp", target)?;
        client.args(["--count", &count.to_string()]).output().await?.json()
    }

    /// Asks for an address and port of its own, and lets go of it; returns the name of the error, if there is one.
    pub async fn bind(&self, cluster: &Cluster, address: SocketAddr, udp: bool) -> Result<Option<String>> {
        let client = self.client(cluster, "bind", address)?;
        let client = if udp { client.arg("--udp") } else { client };
        let Bound { error } = client.output().await?.json()?;
        Ok(error)
    }

    /// Opens `connections` to `target` and keeps them in use until [`Holding::finish`].
    pub async fn hold(&self, cluster: &Cluster, target: SocketAddr, connections: u32) -> Result<Holding> {
        let client = self
            .client(cluster, "hold", target)?
            .args(["--connections", &connections.to_string()]);
        let mut session = client.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(Holding(session))
    }

    /// One connection from a port of one's own, which others to elsewhere may have, too.
    pub async fn hold_from(&self, cluster: &Cluster, local_port: u16, target: SocketAddr) -> Result<Holding> {
        let client = self.client(cluster, "hold", target)?;
        // Time enough to send a SYN again.
        let client = client.args(["--local-port", &local_port.to_string(), "--timeout-ms", "5000"]);
        let mut session = client.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(Holding(session))
    }

    /// The same, with a pause of `interval` between two requests on a connection: for many connections.
    pub async fn hold_calmly(
        &self,
        cluster: &Cluster,
        target: SocketAddr,
        connections: u32,
        interval: Duration,
    ) -> Result<Holding> {
        let (connections, interval) = (connections.to_string(), interval.as_millis().to_string());
        let client = self.client(cluster, "hold", target)?;
        let client = client.args(["--connections", &connections, "--interval-ms", &interval]);
        let mut session = client.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(Holding(session))
    }

    /// Makes requests on new connections, `parallel` at a time, until [`Load::finish`].
    pub async fn load(&self, cluster: &Cluster, target: SocketAddr, parallel: u32) -> Result<Load> {
        let client = self
            .client(cluster, "load", target)?
            .args(["--connections", &parallel.to_string()]);
        let mut session = client.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(Load(session))
    }

    /// Begins `per_second` requests each second, each on a new connection, until [`Pacing::finish`].
    pub async fn pace(&self, cluster: &Cluster, target: SocketAddr, per_second: u32) -> Result<Pacing> {
        let client = self
            .client(cluster, "paced", target)?
            .args(["--per-second", &per_second.to_string()]);
        let mut session = client.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(Pacing(session))
    }

    /// Sends `count` requests of `bytes` bytes that should come back.
    pub async fn echo(
        &self,
        cluster: &Cluster,
        target: SocketAddr,
        udp: bool,
        bytes: usize,
        count: u32,
    ) -> Result<Echoes> {
        let (bytes, count) = (bytes.to_string(), count.to_string());
        let client = self.client(cluster, "echo", target)?;
        client
            .args(["--bytes", &bytes, "--count", &count])
            .args(udp.then_some("--udp"))
            .output()
            .await?
            .json()
    }

    /// Sends datagrams to `target` on one connected socket until [`UdpHolding::finish`].
    pub async fn udp_hold(&self, cluster: &Cluster, target: SocketAddr) -> Result<UdpHolding> {
        let mut session = self.client(cluster, "udp-hold", target)?.session().await?;
        let _: Started = session.next(SESSION_PATIENCE).await?;
        Ok(UdpHolding(session))
    }

    /// Opens `count` flows to `target` and asks on each; those that were answered stay open.
    pub async fn flows(&self, cluster: &Cluster, target: SocketAddr, udp: bool, count: u32) -> Result<OpenFlows> {
        let client = self.client(cluster, "flows", target)?.args([
            "--count",
            &count.to_string(),
            "--parallel",
            "256",
            "--timeout-ms",
            &FLOW_PATIENCE.as_millis().to_string(),
        ]);
        let client = if udp { client.arg("--udp") } else { client };
        let mut session = client.session().await?;
        let first = session.next(FLOWS_PATIENCE).await?;
        Ok(OpenFlows { session, first })
    }

    fn client(&self, cluster: &Cluster, kind: &str, target: SocketAddr) -> Result<Launch> {
        let program = "kpr-cluster";
        let launch = match self {
            Self::Pod(pod) => cluster.in_pod(pod, program)?,
            Self::Node(node) => cluster.on_node(node, program)?,
            Self::Outside => cluster.outside(program)?,
        };
        Ok(launch.args(["client", kind, &target.to_string()]))
    }
}

/// Connections that are open and in use.
#[derive(Debug)]
pub struct Holding(Session);

impl Holding {
    /// Ends them, and tells how they fared.
    pub async fn finish(self) -> Result<Held> {
        self.0.finish(SESSION_PATIENCE).await
    }

    /// The same; an error if any broke.
    pub async fn unbroken(self) -> Result<Held> {
        let report = self.finish().await?;
        ensure!(report.broken.is_empty(), "connections broke: {report:?}");
        Ok(report)
    }
}

/// A connected UDP socket in use.
#[derive(Debug)]
pub struct UdpHolding(Session);

impl UdpHolding {
    /// Ends it, and tells how it fared.
    pub async fn finish(self) -> Result<UdpHeld> {
        self.0.finish(SESSION_PATIENCE).await
    }
}

/// Very many flows that are open.
#[derive(Debug)]
pub struct OpenFlows {
    session: Session,
    /// What they saw when they were opened.
    pub first: Flows,
}

impl OpenFlows {
    /// Asks once more on each, and closes them.
    pub async fn again(self) -> Result<Flows> {
        self.session.finish(FLOWS_PATIENCE).await
    }
}

/// Requests that go on and on.
#[derive(Debug)]
pub struct Load(Session);

impl Load {
    /// Ends them, and tells how they fared.
    pub async fn finish(self) -> Result<Tally> {
        self.0.finish(SESSION_PATIENCE).await
    }

    /// The same; an error if one failed, or fewer than `least` were answered.
    pub async fn all_answered(self, least: u32) -> Result<Tally> {
        let tally = self.finish().await?;
        ensure!(tally.failed() == 0, "requests failed: {tally:?}");
        ensure!(tally.answered() >= least, "too little traffic to tell: {tally:?}");
        Ok(tally)
    }
}

/// Requests at a rate.
#[derive(Debug)]
pub struct Pacing(Session);

impl Pacing {
    /// Ends them, and tells how they fared.
    pub async fn finish(self) -> Result<Paced> {
        self.0.finish(SESSION_PATIENCE).await
    }
}
