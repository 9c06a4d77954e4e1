//! Flows that both sides know.

use std::{net::SocketAddrV4, ops::Range};

use anyhow::{Context as _, Result, ensure};
use kpr_abi::{
    Addr4, Be16, FlowKey, FlowValue,
    flow::{action, direction},
};
use kpr_node_agent::datapath::Side;

use super::{
    floor::Hook,
    frame::{ACK, Frame, SYN, client},
    rig::Rig,
    traffic::{Fate, key, shuffle, translated},
};

/// A flow as kpr has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    client: SocketAddrV4,
    frontend: SocketAddrV4,
    /// What becomes of its packets.
    forward: FlowValue<Addr4>,
}

impl Flow {
    /// A packet of the client's, and what is to become of it.
    pub(super) fn request(&self) -> (Frame, Fate) {
        let frame = Frame::new(ACK, self.client, self.frontend);
        (frame, Fate::of(frame, &self.forward))
    }

    /// A packet of the backend's.
    pub(super) fn answer(&self) -> (Frame, Fate) {
        let frame = self.answer_with(ACK);
        let reply = FlowValue {
            src: (*self.frontend.ip()).into(),
            dst: (*self.client.ip()).into(),
            sport: Be16::new(self.frontend.port()),
            dport: Be16::new(self.client.port()),
            ..self.forward
        };
        (frame, Fate::of(frame, &reply))
    }

    fn answer_with(&self, flags: u8) -> Frame {
        let (src, dst) = translated(&self.forward);
        Frame::new(flags, dst, src)
    }

    fn keys(&self) -> [FlowKey<Addr4>; 2] {
        let forward = key(self.client, self.frontend, direction::FORWARD);
        [forward, forward.twin(&self.forward)]
    }
}

/// Opens a flow from each of these clients to a frontend: through kpr's programs, and then the floor gets the same entries. In an
/// order in which they do not lie in memory.
pub(super) fn open(rig: &mut Rig, clients: Range<u32>, frontend: SocketAddrV4) -> Result<Vec<Flow>> {
    let frames: Vec<_> = clients
        .clone()
        .map(|index| Frame::new(SYN, client(index), frontend))
        .collect();
    send(rig, &frames, Side::Ingress)?;
    let mut flows = Vec::new();
    for client in clients.map(client) {
        let key = key(client, frontend, direction::FORWARD);
        let forward = rig
            .flows
            .get(&key, 0)
            .with_context(|| format!("{client} has no flow"))?;
        flows.push(Flow {
            client,
            frontend,
            forward,
        });
    }
    // A flow of a local backend goes on once the backend has accepted it.
    let accepted: Vec<_> = flows
        .iter()
        .filter(|flow| flow.forward.action == action::PASS)
        .map(|flow| flow.answer_with(SYN | ACK))
        .collect();
    if !accepted.is_empty() {
        send(rig, &accepted, Side::Egress)?;
    }
    for flow in &flows {
        for key in flow.keys() {
            let value = rig.flows.get(&key, 0).context("a flow has one entry only")?;
            rig.floor.flows.insert(key, value, 0)?;
        }
    }
    shuffle(&mut flows);
    Ok(flows)
}

/// Has both sides forget flows.
pub(super) fn close(rig: &mut Rig, flows: &[Flow]) -> Result<()> {
    for key in flows.iter().flat_map(Flow::keys) {
        rig.flows.remove(&key)?;
        rig.floor.flows.remove(&key)?;
    }
    Ok(())
}

/// Passes packets through one of kpr's programs, each once.
fn send(rig: &mut Rig, frames: &[Frame], side: Side) -> Result<()> {
    ensure!(!frames.is_empty(), "there are no packets");
    rig.floor.set_packets(frames)?;
    rig.floor.aim_at(Hook::Tc, rig.node.datapath()?.descriptor(side)?)?;
    rig.floor.run(Hook::Tc, 0, u32::try_from(frames.len())?)?;
    Ok(())
}
