//! How fast the agent programs what it watches, and what it costs: the real program on a node of a test cluster, with 10,000 Services
//! of ten endpoints, and beside it on the other node the same with 100.

mod agent;
mod control;
mod front;
mod objects;
mod tables;
mod traffic;

use std::{env, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kpr_cluster::{
    process::{Launch, Session},
    testbed::{Host, Testbed},
};
use kpr_node_agent::observe::api::Phase;

pub(crate) use self::traffic::ask;
use self::{
    agent::{Node, memory, spin},
    control::Control,
    objects::{ANSWERING_NODE_PORT, ANSWERING_PORT, ENDPOINTS, Numbered},
    tables::Tables,
    traffic::Tally,
};
use crate::{
    catalogue::{Benchmark, is_meant},
    cli::Wanted,
    contest::{Sorted, Summary},
    machine,
    results::{Limit, Measured},
};

/// Services of the large cluster, and of the small one.
const LARGE: u32 = 10_000;
const SMALL: u32 = 100;
/// First syncs in a quick run and in a whole one, after one that is not counted.
const FIRST: [u32; 2] = [2, 10];
/// Blocks of changes, and changes of one.
const BLOCKS: [u32; 2] = [3, 20];
const BLOCK: u32 = 100;
/// Restarts.
const RESTARTS: [u32; 2] = [2, 10];
/// Between two changes: longer than an agent lets changes gather that follow one that it has carried out, since two in a row may be the
/// same agent's.
const PAUSE: Duration = Duration::from_millis(30);
/// Until an agent that has nothing to do has given back what it does not need.
const SETTLED: Duration = Duration::from_secs(5);
/// How long a helper may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

const fn benchmark(
    name: &'static str,
    what: &'static str,
    against: &'static str,
    unit: &'static str,
    limit: Option<Limit>,
) -> Benchmark {
    Benchmark {
        name,
        what,
        against,
        unit,
        limit,
    }
}

const SYNC_FIRST: Benchmark = benchmark(
    "sync_first",
    "from the moment that the API server answers lists of 10,000 Services with 100,000 endpoints to the last map write",
    "what it may take",
    "ms",
    Some(Limit::AtMost(1.0)),
);
const SYNC_FIRST_CPU: Benchmark = benchmark(
    "sync_first_cpu",
    "processor time of the agent during `sync_first`",
    "the time that passes",
    "ms",
    None,
);
const SYNC_ONE_P50: Benchmark = benchmark(
    "sync_one_p50",
    "median time from the watch event to the map when one of 100,000 endpoints changes",
    "the same with 1,000 endpoints",
    "µs",
    Some(Limit::AtMost(1.5)),
);
const SYNC_ONE_P99: Benchmark = benchmark(
    "sync_one_p99",
    "time from the watch event to the map when one of 100,000 endpoints changes, of 99 in 100 changes",
    "the same with 1,000 endpoints",
    "µs",
    Some(Limit::AtMost(1.5)),
);
const SYNC_ONE_P99_LIMIT: Benchmark = benchmark(
    "sync_one_p99_limit",
    "the figure of `sync_one_p99`",
    "what it may be",
    "µs",
    Some(Limit::AtMost(1.0)),
);
const SYNC_ONE_P99_MACHINE: Benchmark = benchmark(
    "sync_one_p99_machine",
    "the figure of `sync_one_p99`",
    "the same of a thread that only reads the event: what the machine takes by itself",
    "µs",
    None,
);
const SYNC_ONE_WRITES: Benchmark = benchmark(
    "sync_one_writes",
    "entries of maps written for a change of one of 100,000 endpoints, freeing the old ones included",
    "the same with 1,000 endpoints",
    "",
    // What is freed is freed later: a few entries of thousands fall behind the end of either count.
    Some(Limit::AtMost(1.01)),
);
const SYNC_ONE_CPU: Benchmark = benchmark(
    "sync_one_cpu",
    "processor time of the agent for a change of one of 100,000 endpoints",
    "the same with 1,000 endpoints",
    "µs",
    None,
);
const MEMORY_AGENT: Benchmark = benchmark(
    "memory_agent",
    "resident memory of the agent with 10,000 Services and 100,000 endpoints",
    "what it may be",
    "MiB",
    Some(Limit::AtMost(1.0)),
);
const MEMORY_AGENT_PEAK: Benchmark = benchmark(
    "memory_agent_peak",
    "the most resident memory that it ever had since its start",
    "what it has once it is settled",
    "MiB",
    None,
);
const MEMORY_AGENT_SMALL: Benchmark = benchmark(
    "memory_agent_small",
    "the figure of `memory_agent`",
    "that of an agent with 100 Services",
    "MiB",
    None,
);
const MEMORY_MAPS: Benchmark = benchmark(
    "memory_maps",
    "kernel memory of the maps, of both families, sized for 65,536 frontends, 262,144 slots and 131,072 backends",
    "resident memory of the agent",
    "MiB",
    None,
);
const MEMORY_OPERATOR: Benchmark = benchmark(
    "memory_operator",
    "resident memory of the operator beside so many Services, which it does not watch",
    "resident memory of the agent",
    "MiB",
    None,
);
const RESTART: Benchmark = benchmark(
    "restart",
    "from the start of an agent after `kill -9` until it has adopted and compared 10,000 Services, without a write",
    "the same with 100 Services",
    "ms",
    None,
);
const RESTART_ANSWERED: Benchmark = benchmark(
    "restart_answered",
    "share of datagrams to a NodePort, one every millisecond, that are answered during those restarts",
    "that none is lost",
    "",
    Some(Limit::AtLeast(1.0)),
);

/// All of them.
pub(crate) const BENCHMARKS: [Benchmark; 15] = [
    SYNC_FIRST,
    SYNC_FIRST_CPU,
    SYNC_ONE_P50,
    SYNC_ONE_P99,
    SYNC_ONE_P99_LIMIT,
    SYNC_ONE_P99_MACHINE,
    SYNC_ONE_WRITES,
    SYNC_ONE_CPU,
    MEMORY_AGENT,
    MEMORY_AGENT_PEAK,
    MEMORY_MAPS,
    MEMORY_AGENT_SMALL,
    MEMORY_OPERATOR,
    RESTART,
    RESTART_ANSWERED,
];

/// Runs those that are wanted, and tells each as it ends.
pub(crate) async fn run(testbed: &Testbed, wanted: &Wanted, tell: &mut (dyn FnMut(Measured) + Send)) -> Result<()> {
    let [here, there] = testbed.hosts() else {
        anyhow::bail!("a test cluster has two nodes");
    };
    let of = |[quick, whole]: [u32; 2]| if wanted.quick { quick } else { whole };
    let mut tell = |benchmark: &Benchmark, summary: Summary| {
        if is_meant(benchmark.name, &wanted.only) {
            tell(Measured::new(benchmark, summary));
        }
    };
    let means = |prefix: &str| {
        let mut of_kind = BENCHMARKS.iter().filter(|benchmark| benchmark.name.starts_with(prefix));
        of_kind.any(|benchmark| is_meant(benchmark.name, &wanted.only))
    };

    let pod = testbed.add_pod(
        &there.spec.name,
        "answering",
        "veth-answering",
        there.spec.pod_cidrs.nth(2),
    )?;
    let answering = pod.addresses.v4.context("the pod has no IPv4 address")?;
    let mut server = session(
        pod.launch(env::current_exe()?),
        &["echo", &format!("0.0.0.0:{ANSWERING_PORT}")],
    )
    .await?;
    let _: SocketAddr = server.next(PATIENCE).await?;

    eprintln!("kpr-bench: sync: {LARGE} Services with {ENDPOINTS} endpoints each");
    let node = |host, services| {
        let kinds = objects::kinds(services, answering);
        Node::new(host, testbed.binaries(), &objects::api_server(host)?, kinds)
    };
    let (mut large, mut small) = (node(here, LARGE)?, node(there, SMALL)?);
    let mut control = Control::start()?;
    tables::sleep_precisely()?;
    machine::hurry(std::process::id())?;

    let first = first_syncs(&mut large, of(FIRST)).await?;
    tell(&SYNC_FIRST, against(&first.took, &[1_000.0])?);
    tell(&SYNC_FIRST_CPU, against(&first.cpu, &first.took)?);

    tokio::time::sleep(SETTLED).await;
    let resident = large.memory("VmRSS")? / 1024.0;
    tell(&MEMORY_AGENT, against(&[resident], &[64.0])?);
    tell(
        &MEMORY_AGENT_PEAK,
        against(&[large.memory("VmHWM")? / 1024.0], &[resident])?,
    );
    tell(&MEMORY_MAPS, against(&[tables::memory(&here.bpffs)?], &[resident])?);

    if means("memory") || means("sync_one") || means("restart") {
        small.front.hold();
        first_sync(&mut small, SMALL).await?;
        tokio::time::sleep(SETTLED).await;
        tell(
            &MEMORY_AGENT_SMALL,
            against(&[resident], &[small.memory("VmRSS")? / 1024.0])?,
        );
    }
    if means("sync_one") {
        let nodes = [(&mut large, LARGE), (&mut small, SMALL)];
        let ([of_large, of_small], machine) = changes(nodes, &mut control, of(BLOCKS)).await?;
        tell(&SYNC_ONE_P50, of_large.quantile(&of_small, 0.5)?);
        let p99 = of_large.quantile(&of_small, 0.99)?;
        tell(&SYNC_ONE_P99, p99);
        tell(&SYNC_ONE_P99_LIMIT, against(&[p99.ours], &[1_000.0])?);
        let machine = Sorted::new(machine).quantile(0.99);
        tell(&SYNC_ONE_P99_MACHINE, against(&[p99.ours], &[machine])?);
        tell(&SYNC_ONE_WRITES, against(&[of_large.writes], &[of_small.writes])?);
        tell(&SYNC_ONE_CPU, against(&[of_large.cpu], &[of_small.cpu])?);
    }
    if means("restart") {
        let (tally, took) = restarts(testbed, &mut large, &mut small, of(RESTARTS)).await?;
        let [ours, theirs] = took;
        tell(&RESTART, against(&ours, &theirs)?);
        let share = f64::from(tally.answered) / f64::from(tally.asked);
        tell(&RESTART_ANSWERED, against(&[share], &[1.0])?);
    }
    if means("memory_operator") {
        tell(
            &MEMORY_OPERATOR,
            against(&[operator(testbed, here).await?], &[resident])?,
        );
    }
    large.kill().await?;
    small.kill().await?;
    let _: SocketAddr = server.finish(PATIENCE).await?;
    Ok(())
}

/// Restarts both agents in turns, while the outside client asks a NodePort of the first: what became of that, and how long each took.
async fn restarts(
    testbed: &Testbed,
    large: &mut Node,
    small: &mut Node,
    rounds: u32,
) -> Result<(Tally, [Vec<f64>; 2])> {
    let node_port = large.host.spec.addresses.v4.context("the node has no IPv4 address")?;
    let target = format!("{node_port}:{ANSWERING_NODE_PORT}");
    let mut client = session(testbed.launch_outside(env::current_exe()?)?, &["sync-ask", &target]).await?;
    let _: Tally = client.next(PATIENCE).await?;
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        took[0].push(restart(large).await?);
        took[1].push(restart(small).await?);
    }
    let tally: Tally = client.finish(PATIENCE).await?;
    ensure!(tally.asked > 1_000, "too few datagrams to tell: {tally:?}");
    eprintln!(
        "kpr-bench: restart: {} of {} datagrams were answered",
        tally.answered, tally.asked
    );
    Ok((tally, took))
}

/// Resident memory of an operator at the large cluster's API server, in MiB.
async fn operator(testbed: &Testbed, host: &Host) -> Result<f64> {
    let operator = Launch::new(testbed.binaries().get("kpr-operator")?)
        .env("KUBECONFIG", host.dir.join("bench-kubeconfig"))
        .in_netns(&host.netns)
        .in_cgroup(&host.cgroup.child("operator")?);
    let mut operator = operator.spawn(&host.dir.join("bench-operator.log")).await?;
    tokio::time::sleep(SETTLED).await;
    ensure!(
        operator.exited()?.is_none(),
        "the operator ended:\n{}",
        operator.log_tail()
    );
    let resident = memory(operator.pid().context("the operator has ended")?, "VmRSS")? / 1024.0;
    operator.kill().await?;
    Ok(resident)
}

async fn session(launch: Launch, arguments: &[&str]) -> Result<Session> {
    launch.args(arguments).session().await
}

/// Both sides' medians, and the quartiles of ours against the peer's.
fn against(ours: &[f64], peer: &[f64]) -> Result<Summary> {
    let peer = Sorted::new(peer.iter().copied()).quantile(0.5);
    let sorted = Sorted::new(ours.iter().copied());
    let ratio = |share| sorted.quantile(share) / peer;
    Ok(Summary {
        ours: sorted.quantile(0.5),
        peer,
        ratio: ratio(0.5),
        spread: [ratio(0.25), ratio(0.75)],
        rounds: u32::try_from(ours.len())?,
    })
}

/// Times of first syncs, in milliseconds.
#[derive(Default)]
struct First {
    took: Vec<f64>,
    cpu: Vec<f64>,
}

/// Syncs so many times from nothing, and leaves the agent of the last time running.
async fn first_syncs(node: &mut Node, rounds: u32) -> Result<First> {
    let mut first = First::default();
    for round in 0..=rounds {
        node.kill().await?;
        forget(node)?;
        let (took, cpu) = first_sync(node, LARGE).await?;
        let kilobytes = node.front.listed() / 1_000;
        eprintln!("kpr-bench: sync_first: {took:.0} ms, {cpu:.0} ms of processor time, {kilobytes} kB of lists");
        // For the first one, lists are put together.
        if round > 0 {
            first.took.push(took);
            first.cpu.push(cpu);
        }
    }
    Ok(first)
}

/// Removes what the agent before has left in the kernel.
fn forget(node: &Node) -> Result<()> {
    let options = kpr_node_agent::datapath::Options {
        cgroup_root: node.host.cgroup.path().to_owned(),
        bpffs_root: node.host.bpffs.clone(),
        run_dir: node.host.agent_run_dir(),
        sysctl_root: "/proc/sys".into(),
        tc: kpr_node_agent::datapath::TcChoice::Auto,
    };
    let remove = || Ok(kpr_node_agent::datapath::Datapath::remove(&options)?);
    node.host.netns.run(remove)
}

/// Starts an agent, lets lists go once its programs are loaded, and waits for the last Service. How long that took, and how much
/// processor time the agent had, in milliseconds.
async fn first_sync(node: &mut Node, services: u32) -> Result<(f64, f64)> {
    node.front.hold();
    node.start().await?;
    node.front.asked()?;
    node.until("loaded", |status| {
        status.phase == Phase::Syncing && !status.attachments.is_empty()
    })
    .await?;
    let tables = Tables::open(&node.host.bpffs)?;
    let last = Numbered(services - 1);
    machine::hurry(node.pid()?)?;
    let cpu = node.cpu()?;
    let begun = node.front.release();
    let (_, ended) = spin("the last Service", || tables.service(last))?;
    let cpu = node.cpu()? - cpu;
    node.active().await?;
    for number in (0..services).step_by(97).chain([services - 1]) {
        let service = Numbered(number);
        tables.leads_to(service, ENDPOINTS, service.first_endpoint(false))?;
    }
    let status = node.status().await?;
    ensure!(
        status.services.services == services + 1,
        "the agent serves {:?}",
        status.services
    );
    Ok(((ended - begun).as_secs_f64() * 1e3, cpu))
}

/// What changes took.
struct Changes {
    /// In microseconds, in the order in which they were made.
    took: Vec<f64>,
    /// Entries written for each.
    writes: f64,
    /// Processor time for each, in microseconds.
    cpu: f64,
}

impl Changes {
    /// Of all changes, with the spread of the blocks.
    fn quantile(&self, peer: &Self, share: f64) -> Result<Summary> {
        let of = |took: &[f64]| Sorted::new(took.iter().copied()).quantile(share);
        let blocks = self.took.chunks(BLOCK as usize).zip(peer.took.chunks(BLOCK as usize));
        let ratios = Sorted::new(blocks.map(|(ours, peer)| of(ours) / of(peer)));
        Ok(Summary {
            ours: of(&self.took),
            peer: of(&peer.took),
            ratio: of(&self.took) / of(&peer.took),
            spread: [ratios.quantile(0.25), ratios.quantile(0.75)],
            rounds: u32::try_from(self.took.len())?,
        })
    }
}

/// Changes an endpoint of either node in turns, each time of another Service, and in the end all of them back. In between, what the machine
/// takes for an event by itself, in microseconds.
async fn changes(nodes: [(&mut Node, u32); 2], control: &mut Control, blocks: u32) -> Result<([Changes; 2], Vec<f64>)> {
    let tables = [
        Tables::open(&nodes[0].0.host.bpffs)?,
        Tables::open(&nodes[1].0.host.bpffs)?,
    ];
    for (node, _) in &nodes {
        node.front.watched()?;
    }
    tokio::time::sleep(SETTLED).await;
    let before = [figures(nodes[0].0).await?, figures(nodes[1].0).await?];
    let (mut took, mut machine) = ([Vec::new(), Vec::new()], Vec::new());
    let changes = blocks * BLOCK;
    for change in 0..changes {
        for turn in 0..2 {
            // Ours, peer, peer, ours.
            let at = ((change + turn) % 2) as usize;
            let (node, services) = &nodes[at];
            // Far from the one before. Every Service of the small cluster comes again after so many changes, and goes back.
            let service = Numbered(change * 7_919 % services);
            let other = change / services % 2 == 0;
            took[at].push(one_change(node, &tables[at], service, other, u64::from(change))?);
            tokio::time::sleep(PAUSE).await;
        }
        machine.push(control.one(&Numbered(0).event(false, 0))?);
        tokio::time::sleep(PAUSE).await;
    }
    // Until what was replaced is freed.
    tokio::time::sleep(SETTLED).await;
    let after = [figures(nodes[0].0).await?, figures(nodes[1].0).await?];
    for (at, (node, services)) in nodes.iter().enumerate() {
        for number in 0..*services {
            let service = Numbered(number);
            let touched = (0..changes)
                .filter(|change| change * 7_919 % services == number)
                .count();
            if touched % 2 == 1 {
                one_change(node, &tables[at], service, false, u64::from(changes))?;
            }
        }
    }
    let per_change = |at: usize| {
        let (writes, cpu) = (after[at].0 - before[at].0, after[at].1 - before[at].1);
        Changes {
            took: took[at].clone(),
            writes: writes / f64::from(changes),
            cpu: cpu * 1e3 / f64::from(changes),
        }
    };
    Ok(([per_change(0), per_change(1)], machine))
}

/// Map writes and processor time so far.
async fn figures(node: &Node) -> Result<(f64, f64)> {
    let status = node.status().await?;
    #[expect(clippy::cast_precision_loss, reason = "a number of writes")]
    let writes = status.map_writes as f64;
    Ok((writes, node.cpu()?))
}

/// From the event to the map, in microseconds.
fn one_change(node: &Node, tables: &Tables, service: Numbered, other: bool, version: u64) -> Result<f64> {
    let event = service.event(other, 1_000_000 + version);
    let old = tables.service(service)?.context("a Service is not there")?;
    let begun = node.front.send(&event)?;
    let (_, ended) = spin("a change", || {
        Ok(tables.service(service)?.filter(|value| *value != old))
    })?;
    tables.leads_to(service, ENDPOINTS, service.first_endpoint(other))?;
    Ok((ended - begun).as_secs_f64() * 1e6)
}

/// Kills the agent and starts another one. How long that took to serve as before, in milliseconds.
async fn restart(node: &mut Node) -> Result<f64> {
    node.kill().await?;
    node.front.hold();
    node.front.release();
    let begun = std::time::Instant::now();
    node.start().await?;
    machine::hurry(node.pid()?)?;
    let ended = node.active().await?;
    tokio::time::sleep(SETTLED / 5).await;
    let status = node.status().await?;
    ensure!(
        status.map_writes == 0,
        "the agent wrote {} entries after a restart",
        status.map_writes
    );
    Ok((ended - begun).as_secs_f64() * 1e3)
}
