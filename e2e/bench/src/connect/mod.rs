//! What it costs a pod to connect to a ClusterIP, and not to the pod behind it: real connections between two pods on two nodes of a
//! test cluster.

mod client;
pub(crate) mod services;

use std::{env, net::SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use kpr_abi::Reason;
use kpr_cluster::testbed::{PodHost, Testbed};
use kpr_node_agent::datapath::{Datapath, Sizes};

pub(crate) use self::client::client;
use self::services::CLUSTER_IP;
use crate::{
    catalogue::{Benchmark, is_meant},
    cli::Wanted,
    contest::Summary,
    node::Node,
    pods::Pair,
    results::{Limit, Measured},
};

/// Rounds in a quick run and in a whole one.
const ROUNDS: [u32; 2] = [400, 2_000];

const fn connect(name: &'static str, what: &'static str) -> Benchmark {
    Benchmark {
        name,
        what,
        against: "connect() to the address of the Service's pod",
        unit: "µs",
        limit: Some(Limit::AtMost(1.02)),
    }
}

/// All of them.
pub(crate) const BENCHMARKS: [Benchmark; 3] = [
    connect("connect_10", "connect() of a pod to a ClusterIP, with 10 Services"),
    connect("connect_1000", "connect() of a pod to a ClusterIP, with 1,000 Services"),
    connect(
        "connect_10000",
        "connect() of a pod to a ClusterIP, with 10,000 Services",
    ),
];
const SERVICES: [u32; 3] = [10, 1_000, 10_000];

/// Runs those that are wanted, and tells each as it ends.
pub(crate) async fn run(testbed: &Testbed, wanted: &Wanted, tell: &mut (dyn FnMut(Measured) + Send)) -> Result<()> {
    let pods = Pair::start(testbed, "connect", "connect-server").await?;
    let here = testbed.hosts().first().context("there is no node")?;
    let mut node = here.netns.run(|| Node::start(here, SIZES))?;
    for (benchmark, services) in BENCHMARKS.iter().zip(SERVICES) {
        if !is_meant(benchmark.name, &wanted.only) {
            continue;
        }
        services::program(node.datapath()?, services, pods.backend)?;
        let [quick, whole] = ROUNDS;
        let rounds = if wanted.quick { quick } else { whole };
        eprintln!("kpr-bench: {}: {rounds} rounds", benchmark.name);
        let summary = measure(&pods.from, node.datapath()?, pods.backend, rounds).await;
        tell(Measured::new(benchmark, summary.context(benchmark.name)?));
    }
    pods.finish().await
}

pub(crate) const SIZES: Sizes = Sizes {
    services: 16_384,
    slots: 16_384,
    backends: 16_384,
    flows: 1_024,
    peers: 1_024,
    affinity: 1_024,
};

/// Has a process in the pod connect, and sees to it that kpr has translated every connection to the ClusterIP and no other.
async fn measure(from: &PodHost, datapath: &Datapath, direct: SocketAddrV4, rounds: u32) -> Result<Summary> {
    let before = translated(datapath);
    let summary = from
        .launch(env::current_exe()?)
        .args(["connect-client", "--rounds", &rounds.to_string()])
        .args(["--direct", &direct.to_string(), "--service", &CLUSTER_IP.to_string()])
        .output()
        .await?
        .json()?;
    let (connected, expected) = (translated(datapath) - before, client::connections(rounds));
    ensure!(
        connected == expected,
        "{connected} connections were translated, and {expected} were made to the ClusterIP"
    );
    Ok(summary)
}

fn translated(datapath: &Datapath) -> u64 {
    let counters = datapath.report().counters;
    let counted = counters
        .iter()
        .find(|counter| counter.reason == Reason::SocketTranslated.name());
    counted.map_or(0, |counter| counter.count)
}
