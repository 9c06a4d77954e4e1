//! The agent of a node, as a process of its own, and what can be seen of it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use kpr_apiserver::{ApiServer, Serving};
use kpr_cluster::{
    process::{Binaries, Launch, Process},
    testbed::Host,
};
use kpr_node_agent::observe::{
    api::{Phase, Status},
    get_status,
};

use super::front::{Front, Kind};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between looks at the agent's status.
const LOOK: Duration = Duration::from_millis(5);

/// A node with its API server, and the agent once it was started.
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) front: Front,
    launch: Launch,
    log: PathBuf,
    agent: Option<Process>,
    _serving: Serving,
}

impl Node {
    /// Serves `api` on the node, with these Services and EndpointSlices.
    pub(super) fn new(host: &Host, binaries: &Binaries, api: &ApiServer, kinds: [Kind; 2]) -> Result<Self> {
        let local = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen");
        let serving = api.serve(local()?)?;
        let front = Front::start(host.netns.run(local)?, serving.address(), kinds)?;
        let kubeconfig = host.dir.join("bench-kubeconfig");
        fs::write(
            &kubeconfig,
            kpr_apiserver::kubeconfig(&format!("http://{}", front.address())),
        )?;
        let launch = Launch::new(binaries.get("kpr-node-agent")?)
            .args(["--node-name", &host.spec.name, "--cgroup-root"])
            .arg(host.cgroup.path())
            .arg("--bpffs-root")
            .arg(&host.bpffs)
            .arg("--run-dir")
            .arg(host.agent_run_dir())
            .env("KUBECONFIG", &kubeconfig)
            .in_netns(&host.netns)
            .in_cgroup(&host.cgroup.child("agent")?);
        Ok(Self {
            host: host.clone(),
            front,
            launch,
            log: host.dir.join("bench-agent.log"),
            agent: None,
            _serving: serving,
        })
    }

    /// Starts the agent.
    pub(super) async fn start(&mut self) -> Result<()> {
        self.agent = Some(self.launch.clone().spawn(&self.log).await?);
        Ok(())
    }

    /// `kill -9`, if it runs.
    pub(super) async fn kill(&mut self) -> Result<()> {
        match self.agent.take() {
            Some(mut agent) => agent.kill().await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn pid(&self) -> Result<u32> {
        let agent = self.agent.as_ref().context("no agent runs")?;
        agent.pid().context("the agent has ended")
    }

    /// What it says of itself.
    pub(super) async fn status(&self) -> Result<Status> {
        Ok(get_status(&self.host.agent_run_dir()).await?)
    }

    /// Waits until its status is such, and returns when that was seen.
    pub(super) async fn until(&mut self, what: &str, is: impl Fn(&Status) -> bool) -> Result<Instant> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.status().await.is_ok_and(|status| is(&status)) {
                return Ok(Instant::now());
            }
            let agent = self.agent.as_mut().context("no agent runs")?;
            if let Some(status) = agent.exited()? {
                bail!("the agent ended with {status}:\n{}", agent.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
        let log = self.agent.as_ref().map(Process::log_tail).unwrap_or_default();
        bail!("the agent is not {what}:\n{log}")
    }

    /// Waits until it serves.
    pub(super) async fn active(&mut self) -> Result<Instant> {
        self.until("active", |status| status.phase == Phase::Active).await
    }

    /// Its memory, in KiB, by what `/proc/PID/status` calls it.
    pub(super) fn memory(&self, what: &str) -> Result<f64> {
        memory(self.pid()?, what)
    }

    /// How much processor time it has had, in milliseconds.
    pub(super) fn cpu(&self) -> Result<f64> {
        let mut total = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanoseconds: f64 = text.split(' ').next().context("an empty schedstat")?.parse()?;
            total += nanoseconds / 1e6;
        }
        Ok(total)
    }
}

/// Memory of a process, in KiB.
pub(super) fn memory(pid: u32, what: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let value = line.with_context(|| format!("no {what} in the status of process {pid}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Between two looks. This thread has a real-time priority: with shorter pauses it keeps `ksoftirqd` of its processor, which has none, from
/// handing the event to the agent for milliseconds.
const PAUSE: Duration = Duration::from_micros(50);

/// Looks again and again until there is something.
pub(super) fn spin<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<(T, Instant)> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, Instant::now()));
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {} s",
            PATIENCE.as_secs()
        );
        thread::sleep(PAUSE);
    }
}
