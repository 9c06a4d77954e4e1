//! Whole connections: connect, send a request, read the answer, close. From a pod on one node to a pod on the other, through kpr, to the
//! pod itself, and through rules in the shape of kube-proxy's on machines of their own.

mod client;
mod kube_proxy;
mod peer;
mod server;

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result};
use kpr_cluster::{kube_proxy::KubeProxyMode, process::on_path};

use self::{client::Client, peer::Peer};
pub(crate) use self::{client::client, server::server};
use crate::{
    catalogue::{Benchmark, is_meant},
    cli::Wanted,
    connect::{
        SIZES,
        services::{self, CLUSTER_IP},
    },
    contest::{Contest, Side, play},
    node::{self, Node},
    pods::Pair,
    results::{Limit, Measured},
};

/// Of pods, and the command that serves.
const NAME: &str = "requests";
const SERVER: &str = "request-server";
/// Rounds in a quick run and in a whole one.
const ROUNDS: [u32; 2] = [120, 1_000];

const fn direct(name: &'static str, what: &'static str) -> Benchmark {
    Benchmark {
        name,
        what,
        against: "the same to the address of the Service's pod",
        unit: "µs",
        // 0.97 as many in the same time.
        limit: Some(Limit::AtMost(1.03)),
    }
}

const fn beside(name: &'static str, what: &'static str, against: &'static str) -> Benchmark {
    Benchmark {
        name,
        what,
        against,
        unit: "µs",
        limit: Some(Limit::AtMost(1.0)),
    }
}

const TEN: &str = "connect, request, answer and close, from a pod to a ClusterIP, with 10 Services";
const THOUSAND: &str = "connect, request, answer and close, from a pod to a ClusterIP, with 1,000 Services";
const TEN_THOUSAND: &str = "connect, request, answer and close, from a pod to a ClusterIP, with 10,000 Services";
const IPTABLES: &str = "the same through iptables rules in the shape of kube-proxy's, as many Services, of which the one asked for is in the middle";
const NFTABLES: &str = "the same through nftables rules in the shape of kube-proxy's";
const KUBE_PROXY_IPTABLES: &str = "the same through kube-proxy itself, with iptables, wherever it puts the Service";
const KUBE_PROXY_NFTABLES: &str = "the same through kube-proxy itself, with nftables";

/// All of them: for each number of Services against the pod, iptables and nftables, and kube-proxy itself with either.
pub(crate) const BENCHMARKS: [Benchmark; 15] = [
    direct("requests_10", TEN),
    beside("requests_iptables_10", TEN, IPTABLES),
    beside("requests_nftables_10", TEN, NFTABLES),
    beside("requests_kube_proxy_iptables_10", TEN, KUBE_PROXY_IPTABLES),
    beside("requests_kube_proxy_nftables_10", TEN, KUBE_PROXY_NFTABLES),
    direct("requests_1000", THOUSAND),
    beside("requests_iptables_1000", THOUSAND, IPTABLES),
    beside("requests_nftables_1000", THOUSAND, NFTABLES),
    beside("requests_kube_proxy_iptables_1000", THOUSAND, KUBE_PROXY_IPTABLES),
    beside("requests_kube_proxy_nftables_1000", THOUSAND, KUBE_PROXY_NFTABLES),
    direct("requests_10000", TEN_THOUSAND),
    beside("requests_iptables_10000", TEN_THOUSAND, IPTABLES),
    beside("requests_nftables_10000", TEN_THOUSAND, NFTABLES),
    beside("requests_kube_proxy_iptables_10000", TEN_THOUSAND, KUBE_PROXY_IPTABLES),
    beside("requests_kube_proxy_nftables_10000", TEN_THOUSAND, KUBE_PROXY_NFTABLES),
];
/// Numbers of Services, in the order of the benchmarks.
const SERVICES: [u32; 3] = [10, 1_000, 10_000];
/// Rules that take a minute and more to load are for whole runs.
const NOT_QUICK: [&str; 3] = [
    "requests_nftables_10000",
    "requests_kube_proxy_iptables_10000",
    "requests_kube_proxy_nftables_10000",
];

/// Runs those that are wanted, and tells each as it ends.
pub(crate) async fn run(wanted: &Wanted, tell: &mut (dyn FnMut(Measured) + Send)) -> Result<()> {
    let program = on_path("kube-proxy");
    if program.is_none() {
        eprintln!("kpr-bench: requests_kube_proxy: left out, since there is no kube-proxy in PATH");
    }
    let may_run = |name: &str| program.is_some() || !name.contains("kube_proxy");
    let is_left_out = |name: &str| wanted.quick && NOT_QUICK.contains(&name);
    let is_wanted = |benchmark: &Benchmark| {
        let name = benchmark.name;
        is_meant(name, &wanted.only) && may_run(name) && !is_left_out(name)
    };
    for name in NOT_QUICK {
        if is_left_out(name) && is_meant(name, &wanted.only) && may_run(name) {
            eprintln!("kpr-bench: {name}: left out of a quick run, since its rules take a minute and more to load");
        }
    }
    let testbed = node::machines()?;
    let pods = Pair::start(&testbed, NAME, SERVER).await?;
    let here = testbed.hosts().first().context("there is no node")?;
    let mut node = here.netns.run(|| Node::start(here, SIZES))?;
    let mut ours = Client::start(&pods.from).await?;
    let mut peers = Vec::new();
    for (by, program) in [("", None), ("kube_proxy_", program.clone())] {
        for mode in [KubeProxyMode::Iptables, KubeProxyMode::Nftables] {
            let name = format!("requests_{by}{mode}");
            let any = BENCHMARKS
                .iter()
                .any(|benchmark| benchmark.name.starts_with(&name) && is_wanted(benchmark));
            peers.push(if any {
                Some(Peer::start(mode, program.clone()).await?)
            } else {
                None
            });
        }
    }
    for (benchmarks, services) in BENCHMARKS.chunks(1 + peers.len()).zip(SERVICES) {
        if !benchmarks.iter().any(is_wanted) {
            continue;
        }
        services::program(node.datapath()?, services, pods.backend)?;
        let [direct, against @ ..] = benchmarks else { continue };
        let rounds = ROUNDS[usize::from(!wanted.quick)];
        if is_wanted(direct) {
            eprintln!("kpr-bench: {}: {rounds} rounds", direct.name);
            let mut contest = Alone {
                client: &mut ours,
                backend: pods.backend,
            };
            tell(Measured::new(direct, play(&mut contest, rounds)?));
        }
        for (benchmark, peer) in against.iter().zip(&mut peers) {
            let Some(peer) = peer.as_mut().filter(|_| is_wanted(benchmark)) else {
                continue;
            };
            eprintln!("kpr-bench: {}: loading the rules, then {rounds} rounds", benchmark.name);
            let service = peer.program(services).await.context(benchmark.name)?;
            let mut contest = Beside {
                ours: &mut ours,
                peer: &mut peer.client,
                service,
            };
            tell(Measured::new(benchmark, play(&mut contest, rounds)?));
        }
    }
    for peer in peers.into_iter().flatten() {
        peer.finish().await?;
    }
    pods.finish().await
}

/// The Service and its pod, by the same client.
struct Alone<'c> {
    client: &'c mut Client,
    backend: SocketAddrV4,
}

impl Contest for Alone<'_> {
    fn sample(&mut self, side: Side) -> Result<f64> {
        self.client.sample(match side {
            Side::Ours => CLUSTER_IP,
            Side::Peer => self.backend,
        })
    }
}

/// The Service through kpr, and one through a peer's rules, on machines of their own.
struct Beside<'c> {
    ours: &'c mut Client,
    peer: &'c mut Client,
    service: SocketAddrV4,
}

impl Contest for Beside<'_> {
    fn sample(&mut self, side: Side) -> Result<f64> {
        match side {
            Side::Ours => self.ours.sample(CLUSTER_IP),
            Side::Peer => self.peer.sample(self.service),
        }
    }
}
