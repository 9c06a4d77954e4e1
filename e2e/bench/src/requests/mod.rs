//! Whole connections: connect, send a request, read the answer, close. From a pod on one node to a pod on the other, through kpr, to the
//! pod itself, and through rules in the shape of kube-proxy's on machines of their own.

mod client;
mod kube_proxy;
mod peer;
mod server;

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result};
use kpr_cluster::kube_proxy::KubeProxyMode;

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
    let is_wanted = |benchmark: &Benchmark| {
        is_meant(benchmark.name, &wanted.only) && !(wanted.quick && NOT_QUICK.contains(&benchmark.name))
    };
    let is_any = |name: &str| {
        let mut meant = BENCHMARKS.iter().filter(|benchmark| benchmark.name.starts_with(name));
        meant.any(is_wanted)
    };
    let program = kube_proxy::program();
    if program.is_none() {
        eprintln!("kpr-bench: requests_kube_proxy: left out, since there is no kube-proxy in PATH");
    }
    let may_run = |name: &&str| program.is_some() || !name.contains("kube_proxy");
    for name in NOT_QUICK.into_iter().filter(may_run) {
        if wanted.quick && is_meant(name, &wanted.only) {
            eprintln!("kpr-bench: {name}: left out of a quick run, since its rules take a minute and more to load");
        }
    }
    let testbed = node::machines()?;
    let pods = Pair::start(&testbed, NAME, SERVER).await?;
    let here = testbed.hosts().first().context("there is no node")?;
    let mut node = here.netns.run(|| Node::start(here, SIZES))?;
    let mut ours = Client::start(&pods.from).await?;
    let modes = [KubeProxyMode::Iptables, KubeProxyMode::Nftables];
    let mut peers = Vec::new();
    for (name, mode) in modes.map(|mode| (format!("requests_{mode}"), mode)) {
        peers.push(if is_any(&name) {
            Some(Peer::start(mode, None).await?)
        } else {
            None
        });
    }
    for (name, mode) in modes.map(|mode| (format!("requests_kube_proxy_{mode}"), mode)) {
        peers.push(match &program {
            Some(program) if is_any(&name) => Some(Peer::start(mode, Some(program.clone())).await?),
            _ => None,
        });
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
