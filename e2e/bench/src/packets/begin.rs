//! First packets of flows: each sample begins as many flows as it has packets, and then they are forgotten.

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, MapData};
use kpr_abi::{Addr4, FlowKey, FlowValue, Reason, flow::direction};
use kpr_node_agent::datapath;

use super::{
    floor::{Hook, Program},
    frame::{Frame, SYN, client},
    rig::Rig,
    traffic::{REDIRECT, REMOTE, key},
};
use crate::contest::{Contest, Side, Summary, play};

/// Flows of a sample.
const FLOWS: u32 = 10_000;

/// Measures it, with clients from the `first` one on.
pub(super) fn measure(rig: &mut Rig, first: u32, rounds: u32) -> Result<Summary> {
    let clients: Vec<_> = (first..first + FLOWS).map(client).collect();
    let frames: Vec<_> = clients.iter().map(|&client| Frame::new(SYN, client, REMOTE)).collect();
    rig.floor.set_packets(&frames)?;
    let keys = clients
        .iter()
        .map(|&client| key(client, REMOTE, direction::FORWARD))
        .collect();
    play(&mut Beginning { rig, keys }, rounds)
}

struct Beginning<'r> {
    rig: &'r mut Rig,
    /// Of the flows that packets begin.
    keys: Vec<FlowKey<Addr4>>,
}

impl Contest for Beginning<'_> {
    fn sample(&mut self, side: Side) -> Result<f64> {
        let before = self.rig.counts()?;
        match side {
            Side::Ours => {
                let program = self.rig.node.datapath()?.descriptor(datapath::Side::Ingress)?;
                self.rig.floor.aim_at(Hook::Tc, program)?;
            }
            Side::Peer => self.rig.floor.aim(Hook::Tc, Program::Begin)?,
        }
        let ran = self.rig.floor.run(Hook::Tc, 0, FLOWS)?;
        ensure!(
            ran.verdict == REDIRECT,
            "{side:?}: the last packet's verdict is {}",
            ran.verdict
        );
        let begun = if side == Side::Ours { u64::from(FLOWS) } else { 0 };
        for ((reason, before), after) in Reason::ALL.iter().zip(before).zip(self.rig.counts()?) {
            let expected = if *reason == Reason::FlowToRemote { begun } else { 0 };
            let counted = after - before;
            ensure!(
                counted == expected,
                "{side:?}: {} was counted {counted} times",
                reason.name()
            );
        }
        match side {
            Side::Ours => forget(&mut self.rig.flows, &self.keys)?,
            Side::Peer => forget(&mut self.rig.floor.flows, &self.keys)?,
        }
        Ok(ran.nanoseconds.into())
    }

    fn overhead(&mut self) -> Result<f64> {
        self.rig.floor.aim(Hook::Tc, Program::Empty)?;
        Ok(self.rig.floor.run(Hook::Tc, 0, FLOWS)?.nanoseconds.into())
    }
}

/// Removes both entries of each flow. An entry that is not there is an error: its packet began none.
fn forget(flows: &mut HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>>, keys: &[FlowKey<Addr4>]) -> Result<()> {
    for key in keys {
        let value = flows.get(key, 0).context("a packet has begun no flow")?;
        flows.remove(&key.twin(&value)).context("a flow has one entry only")?;
        flows.remove(key)?;
    }
    Ok(())
}
