//! Checks the machine, starts every task, and waits for the end.

use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use kpr_log_filter::Levels;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Args, machine};
use crate::{
    agent::{self, Core, Inputs, KernelLoader, Snapshot, View},
    cluster::{self, ClusterHealth},
    datapath::{self, Datapath, service_counts},
    devices::{Device, Watcher},
    events, health,
    metrics::{Metrics, Probes},
    observe::{self, Answers, RunDir, Source, Tasks},
    sockets,
    status::{self, KubeProxy, kube_proxy::PROXY_MODE},
    sweeper,
    watch::{self as api, ApiServer},
};

/// Changes that may wait for the core; beyond that the watches wait.
const BACKLOG: usize = 1024;

/// Serves until SIGTERM or SIGINT. What is attached stays attached.
pub async fn run(args: &Args, levels: Levels) -> anyhow::Result<()> {
    let node = args.node_name()?;
    let options = args.options()?;
    datapath::preflight(&options)?;
    let (client, server) = api::connect().await?;
    let run_dir = RunDir::claim(&options.run_dir)?;
    let socket = run_dir.listen()?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        node, server, "kpr-node-agent starts"
    );

    let (stop, tasks, probes) = (CancellationToken::new(), Tasks::default(), Probes::default());
    let api_server = ApiServer::new(server);
    let (changes, backlog) = mpsc::channel(BACKLOG);
    let (devices, devices_seen) = watch::channel(None);
    let (kube_proxy, kube_proxy_seen) = watch::channel(KubeProxy::default());
    let (names, questions) = observe::names();
    let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (cluster_health, cluster_seen) = watch::channel(Arc::new(ClusterHealth::default()));
    let about = status::Agent {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: machine::kernel_release(),
        started: Timestamp::now(),
    };
    let view: Arc<dyn Source> = Arc::new(View {
        node: node.clone(),
        kernel: about.kernel.clone(),
        started: about.started,
        snapshots: snapshot.clone(),
        tasks: tasks.clone(),
        api_server: api_server.clone(),
        cluster: cluster_seen,
    });

    let core = Core::new(
        &node,
        machine::memory_bytes(),
        KernelLoader {
            options: options.clone(),
        },
        &tasks,
    )
    .with_agents(args.agents_service.clone());
    let metrics = Metrics::new(Arc::clone(&view), snapshot.clone(), &core.syncs(), &probes, {
        let root = options.bpffs_root.clone();
        Box::new(move || service_counts(&root))
    });

    let mut background = JoinSet::new();
    background.spawn(api_server.clone().heartbeat(client.clone(), tasks.clone()));
    background.spawn(watch_devices(devices, tasks.clone()));
    background.spawn(status::kube_proxy::probe(
        PROXY_MODE,
        kube_proxy,
        snapshot.clone(),
        tasks.clone(),
    ));
    serve_ports(&mut background, args, probes, metrics, &snapshot, &tasks);
    if args.agents_service.is_some() {
        let task = tasks.register("probe-agents");
        background.spawn(cluster::watch(node.clone(), snapshot.clone(), cluster_health, task));
    }
    let checks = health::Events::new(client.clone(), &node);
    let task = tasks.register("serve-health-checks");
    background.spawn(health::serve_checks(snapshot.clone(), checks, task));
    background.spawn(status::Events::new(client.clone(), &node).tell(snapshot.clone()));
    let mut watches = api::spawn(&client, &node, &tasks, &api_server, &changes, snapshot.clone());
    let sink = status::ApiSink::new(client.clone(), api_server.clone(), node.clone());
    background.spawn(status::write(about, sink, snapshot, kube_proxy_seen, tasks.clone()));
    background.spawn(events::read(core.events()));
    let answers = Answers {
        source: view,
        names,
        levels,
        events: core.events(),
    };
    background.spawn(serve_local_api(socket, answers, stop.clone()));

    let _sockets = sockets::spawn(core.sockets(), &options, &tasks).context("start the thread that closes sockets")?;
    let _sweeper =
        sweeper::spawn(core.sweeper(), &options, &tasks).context("start the thread that sweeps idle flows")?;
    let inputs = Inputs {
        changes: backlog,
        devices: devices_seen,
        questions,
    };
    let (runtime, ended) = (Handle::current(), stop.clone());
    let core = tokio::task::spawn_blocking(move || runtime.block_on(agent::run(core, inputs, snapshots, ended)));

    let ended = tokio::select! {
        signal = terminated() => {
            info!("{}: stopping; the datapath goes on", signal?);
            Ok(())
        }
        // None of them ends by itself: one that does has panicked.
        Some(ended) = background.join_next() => Err(anyhow::anyhow!("a background task ended: {ended:?}")),
        Some(ended) = watches.join_next() => Err(anyhow::anyhow!("a watch ended: {ended:?}")),
    };
    stop.cancel();
    core.await.context("the core task failed")?;
    background.shutdown().await;
    watches.shutdown().await;
    drop(run_dir);
    ended
}

/// Removes the datapath of this node.
pub fn uninstall(args: &Args) -> anyhow::Result<()> {
    // Links are detached by removing their pins: the cgroup itself is not needed.
    let options = args.options_with(args.cgroup_root.clone().unwrap_or_default());
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "removing the datapath needs root: its pins and sysctls belong to root"
    );
    let run_dir = RunDir::claim(&options.run_dir)?;
    Datapath::remove(&options).context("the datapath could not be removed")?;
    run_dir.remove();
    info!("the datapath is removed: no program, pin or sysctl of kpr is left on this node");
    Ok(())
}

/// Opens the ports of the agent's own, as far as they are asked for.
fn serve_ports(
    background: &mut JoinSet<()>,
    args: &Args,
    probes: Probes,
    metrics: Metrics,
    snapshot: &watch::Receiver<Arc<Snapshot>>,
    tasks: &Tasks,
) {
    let ports = [
        (
            args.healthz_bind_address,
            health::proxy_health(snapshot.clone(), probes),
            "serve-healthz",
        ),
        (args.metrics_bind_address, health::metrics(metrics), "serve-metrics"),
    ];
    for (address, handler, name) in ports {
        if let Some(address) = address.0 {
            background.spawn(health::serve_at(
                address,
                handler,
                snapshot.clone(),
                tasks.register(name),
            ));
        }
    }
}

async fn serve_local_api(socket: tokio::net::UnixListener, answers: Answers, stop: CancellationToken) {
    if let Err(error) = observe::serve(socket, answers, stop).await {
        warn!("the local API ended: {error}");
    }
}

/// Tells the core about devices. A netlink socket that fails is opened again.
async fn watch_devices(devices: watch::Sender<Option<Vec<Device>>>, tasks: Tasks) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
    let task = tasks.register("watch-devices");
    loop {
        let failed = match Watcher::new() {
            Err(error) => error,
            Ok(mut watcher) => loop {
                match watcher.next().await {
                    Ok(seen) => {
                        task.succeeded(Timestamp::now());
                        devices.send_replace(Some(seen));
                    }
                    Err(error) => break error,
                }
            },
        };
        let message = api::chain(&failed);
        if task.failed(Timestamp::now(), &message) {
            warn!("network devices cannot be watched, trying again: {message}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The name of the signal that came.
async fn terminated() -> anyhow::Result<&'static str> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
