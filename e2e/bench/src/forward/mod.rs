//! Datagrams from outside to a NodePort with a remote backend, through a node: how many one processor forwards in a second.
//!
//! Frames are made by the kernel itself (`BPF_F_TEST_XDP_LIVE_FRAMES`) at the other end of the node's cable, enter the node as from a
//! client outside, and end where they come out of it again, on their way to the backend's node. Making, forwarding and ending all happen on
//! one processor, one batch after the other.

mod cable;
mod contestant;
mod datagram;
mod flows;
mod way;

use std::path::Path;

use anyhow::{Context as _, Result};
use kpr_cluster::kube_proxy::KubeProxyMode;
use tokio::task::block_in_place;

use self::{contestant::Contestant, way::Way};
use crate::{
    catalogue::{Benchmark, is_meant},
    cli::Wanted,
    contest::{compare, play_all},
    results::{Limit, Measured},
};

/// Rounds in a quick run and in a whole one.
const ROUNDS: [u32; 2] = [15, 100];

const fn forward(name: &'static str, what: &'static str, against: &'static str, least: Option<f64>) -> Benchmark {
    Benchmark {
        name,
        what,
        against,
        unit: " kpps",
        limit: match least {
            Some(least) => Some(Limit::AtLeast(least)),
            None => None,
        },
    }
}

const XDP: &str = "datagrams of 1,000 known flows from outside to a NodePort with a remote backend, forwarded by XDP on one processor";
const TC: &str = "datagrams as of `forward_xdp`, forwarded by tc alone";
const FLOOR: &str =
    "a program of XDP with the same parse, one hash look-up, the same packet changes and the same way out";
const BARE: &str = "the same program without a look-up of the route: it knows the one next hop that there is";
const TC_FLOOR: &str =
    "a program of tc with the same parse, one hash look-up, the same packet changes and the same way out";
const TC_BARE: &str = "the same program without a look-up of the route: it knows the one next hop that there is";
const IPTABLES: &str = "iptables rules in the shape of kube-proxy's";
const NFTABLES: &str = "nftables rules in the shape of kube-proxy's";

/// All of them.
pub(crate) const BENCHMARKS: [Benchmark; 8] = [
    forward("forward_xdp", XDP, FLOOR, Some(0.7)),
    forward("forward_xdp_bare", XDP, BARE, Some(0.7)),
    forward("forward_xdp_iptables", XDP, IPTABLES, None),
    forward("forward_xdp_nftables", XDP, NFTABLES, None),
    forward("forward_tc", TC, TC_FLOOR, None),
    forward("forward_tc_bare", TC, TC_BARE, None),
    forward("forward_tc_iptables", TC, IPTABLES, Some(1.8)),
    forward("forward_tc_nftables", TC, NFTABLES, Some(1.8)),
];
/// Who is compared with whom, in the order of the benchmarks.
const SIDES: [[Way; 2]; 8] = [
    [Way::Xdp, Way::Floor],
    [Way::Xdp, Way::Bare],
    [Way::Xdp, Way::Rules(KubeProxyMode::Iptables)],
    [Way::Xdp, Way::Rules(KubeProxyMode::Nftables)],
    [Way::Tc, Way::TcFloor],
    [Way::Tc, Way::TcBare],
    [Way::Tc, Way::Rules(KubeProxyMode::Iptables)],
    [Way::Tc, Way::Rules(KubeProxyMode::Nftables)],
];

/// Runs those that are wanted, all in the same rounds, and tells each at the end.
pub(crate) async fn run(floor: &Path, wanted: &Wanted, tell: &mut (dyn FnMut(Measured) + Send)) -> Result<()> {
    let compared: Vec<_> = BENCHMARKS
        .iter()
        .zip(SIDES)
        .filter(|(benchmark, _)| is_meant(benchmark.name, &wanted.only))
        .collect();
    let mut contestants: Vec<Contestant> = Vec::new();
    let mut known = None;
    for way in Way::ALL {
        if !compared.iter().any(|(_, sides)| sides.contains(&way)) {
            continue;
        }
        let started = Contestant::start(way, floor, known.as_ref()).await;
        let contestant = started.with_context(|| format!("{way:?}"))?;
        known = known.or(contestant.known()?);
        contestants.push(contestant);
    }
    let rounds = ROUNDS[usize::from(!wanted.quick)];
    eprintln!("kpr-bench: forward: {} ways, {rounds} rounds", contestants.len());
    let seen = block_in_place(|| {
        let seen = play_all(contestants.len(), rounds, |side| contestants[side].sample())?;
        contestants.iter_mut().try_for_each(Contestant::check)?;
        anyhow::Ok(seen)
    })?;
    let place = |way| {
        let found = contestants.iter().position(|contestant| contestant.way == way);
        found.with_context(|| format!("{way:?} was not measured"))
    };
    for (benchmark, [ours, peer]) in compared {
        tell(Measured::new(benchmark, compare(&seen, place(ours)?, place(peer)?)?));
    }
    for contestant in contestants {
        contestant.finish().await?;
    }
    Ok(())
}
