//! The benchmarks of packets, one after the other on one node.

use std::path::Path;

use anyhow::{Context as _, Result};
use kpr_cluster::testbed::Testbed;
use kpr_node_agent::datapath::Side;

use super::{
    BENCHMARKS, MANY, begin,
    case::{self, Case, Ours},
    floor::Program,
    flows::{self, Flow},
    frame::{ACK, Frame, client},
    rig::Rig,
    traffic::{Fate, LOCAL, NOBODYS, REMOTE},
};
use crate::{catalogue::is_meant, cli::Wanted, contest::Summary, machine, results::Measured};

/// Runs those that are wanted, and tells each as it ends.
pub(crate) fn run(
    testbed: &Testbed,
    object: &Path,
    wanted: &Wanted,
    tell: &mut (dyn FnMut(Measured) + Send),
) -> Result<()> {
    let host = testbed.hosts().first().context("there is no node")?;
    host.netns.run(|| {
        machine::stay_on_one_cpu()?;
        let rig = Rig::build(host, object)?;
        Run { rig, wanted, tell }.all()
    })
}

struct Run<'w> {
    rig: Rig,
    wanted: &'w Wanted,
    tell: &'w mut (dyn FnMut(Measured) + Send),
}

/// Rounds of a benchmark with one packet, with many packets, and of one that begins flows: in a quick run and in a whole one.
const ONE: [u32; 2] = [30, 150];
const EACH: [u32; 2] = [8, 40];
const BEGIN: [u32; 2] = [8, 40];

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let variants: &[bool] = if self.wanted.counting { &[false] } else { &[false, true] };
        for &many in variants {
            let count = if many { MANY } else { 1 };
            let suffix = if many { "_100k" } else { "" };
            let named = |name: &str| format!("{name}{suffix}");
            let local = [named("tc_established_local"), named("reverse_local")];
            if local.iter().any(|name| self.wants(name)) {
                let flows = flows::open(&mut self.rig, 0..count, LOCAL)?;
                self.flows(&local, &flows, [Side::Ingress, Side::Egress].map(Ours::Tc))?;
                flows::close(&mut self.rig, &flows)?;
            }
            let remote = [named("tc_established"), named("reverse")];
            let remote_xdp = [named("xdp_established"), named("xdp_reverse")];
            let others = [named("miss"), named("xdp_miss"), named("tc_new_flow")];
            let all = remote.iter().chain(&remote_xdp).chain(&others);
            if all.into_iter().any(|name| self.wants(name)) {
                let flows = flows::open(&mut self.rig, 0..count, REMOTE)?;
                self.flows(&remote, &flows, [Ours::Tc(Side::Ingress); 2])?;
                self.flows(&remote_xdp, &flows, [Ours::Xdp; 2])?;
                self.miss(&others[0], count, Ours::Tc(Side::Ingress))?;
                self.miss(&others[1], count, Ours::Xdp)?;
                self.measure(&others[2], BEGIN, |rig, rounds| begin::measure(rig, count, rounds))?;
                flows::close(&mut self.rig, &flows)?;
            }
        }
        Ok(())
    }

    /// Packets of flows, and those that answer them, by these programs of kpr's.
    fn flows(&mut self, [there, back]: &[String; 2], flows: &[Flow], [requests, answers]: [Ours; 2]) -> Result<()> {
        let rounds = rounds(flows.len());
        self.measure(there, rounds, |rig, rounds| {
            let case = Case {
                ours: requests,
                floor: Program::Forward,
                packets: finished(flows.iter().map(Flow::request)),
            };
            case::measure(rig, case, rounds)
        })?;
        self.measure(back, rounds, |rig, rounds| {
            let case = Case {
                ours: answers,
                floor: Program::Reply,
                packets: finished(flows.iter().map(Flow::answer)),
            };
            case::measure(rig, case, rounds)
        })
    }

    fn miss(&mut self, name: &str, clients: u32, ours: Ours) -> Result<()> {
        self.measure(name, rounds(clients as usize), |rig, rounds| {
            let frames = (0..clients).map(|index| Frame::new(ACK, client(index), NOBODYS));
            let case = Case {
                ours,
                floor: Program::Miss,
                packets: frames.map(|frame| (frame, Fate::untouched(frame))).collect(),
            };
            case::measure(rig, case, rounds)
        })
    }

    fn wants(&self, name: &str) -> bool {
        is_meant(name, &self.wanted.only)
    }

    fn measure(
        &mut self,
        name: &str,
        rounds: [u32; 2],
        measure: impl FnOnce(&mut Rig, u32) -> Result<Summary>,
    ) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        let benchmark = BENCHMARKS.iter().find(|benchmark| benchmark.name == name);
        let benchmark = benchmark.with_context(|| format!("{name} is no benchmark"))?;
        let [quick, whole] = rounds;
        let rounds = match self.wanted {
            Wanted { counting: true, .. } => 1,
            Wanted { quick: true, .. } => quick,
            _ => whole,
        };
        eprintln!("kpr-bench: {name}: {rounds} rounds");
        let summary = measure(&mut self.rig, rounds).with_context(|| name.to_owned())?;
        (self.tell)(Measured::new(benchmark, summary));
        Ok(())
    }
}

/// Those packets that every program sends.
fn finished(packets: impl Iterator<Item = (Frame, Fate)>) -> Vec<(Frame, Fate)> {
    packets.filter(|(frame, _)| !frame.looks_unfinished()).collect()
}

fn rounds(packets: usize) -> [u32; 2] {
    if packets == 1 { ONE } else { EACH }
}
