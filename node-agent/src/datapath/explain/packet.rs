//! Packets.

use super::{
    super::{Error, Side, Trial, link_header, packet_hooks, trial::run},
    Both, Explainer, Probe, Story,
    frame::ends,
    load,
    scratch::addr,
};
use kpr_abi::{Be16, FlowKey, V4, V6, flow::direction};
use std::net::SocketAddr;

/// What would become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketStory {
    /// The packet as it comes, an Ethernet frame.
    pub frame: Vec<u8>,
    /// What the programs went through with it.
    pub story: Story,
    /// Their verdict, and the packet as they leave it.
    pub trial: Trial,
}

impl PacketStory {
    /// Source and destination of the packet as the programs leave it.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        ends(&self.trial.packet)
    }

    /// The same as it comes.
    pub fn ends_before(&self) -> Option<(SocketAddr, SocketAddr)> {
        ends(&self.frame)
    }
}

/// A new flow whose tuple is taken looks for another one: so many that are taken are copied one by one, before all of its backend's are.
const FEW: u32 = 4;
/// How often a packet is run until the same backend is chosen again for which something was copied.
const RUNS: u32 = 512;

impl Explainer {
    /// Whether the node knows the flow that a client of this address and port has with this destination.
    pub fn knows(&mut self, probe: &Probe) -> Result<bool, Error> {
        if probe.to.is_ipv4() {
            self.knows_of::<V4>(probe)
        } else {
            self.knows_of::<V6>(probe)
        }
    }

    fn knows_of<F: Both>(&mut self, probe: &Probe) -> Result<bool, Error> {
        Ok(F::scratch(self).known(&key::<F>(probe))?.is_some())
    }

    /// What would become of a packet that passes the device of this index on this side.
    pub fn packet(&mut self, side: Side, probe: &Probe, ifindex: u32) -> Result<PacketStory, Error> {
        let frame = frame(probe, ifindex);
        if probe.to.is_ipv4() {
            self.packet_of::<V4>(side, probe, &frame, ifindex)
        } else {
            self.packet_of::<V6>(side, probe, &frame, ifindex)
        }
    }

    fn packet_of<F: Both>(
        &mut self,
        side: Side,
        probe: &Probe,
        frame: &[u8],
        ifindex: u32,
    ) -> Result<PacketStory, Error> {
        let key = key::<F>(probe);
        let to = destination::<F>(probe.to, probe.protocol);
        let scratch = F::scratch(self);
        scratch.forget()?;
        scratch.copy_flows(&key)?;
        scratch.copy_affinity(to, Some(key.src), 0)?;
        let (mut runs, mut taken, mut wanted) = (0, 0, None);
        loop {
            self.record.clear()?;
            let program = packet_hooks::name(side);
            let trial = run(load::program(&mut self.ebpf, program)?, program, frame, ifindex)?;
            let (event, reasons) = self.record.of_packet()?;
            runs += 1;
            let scratch = F::scratch(self);
            if runs < RUNS {
                if wanted.is_some_and(|id| id != event.backend_id) {
                    scratch.undo(&key)?;
                    continue;
                }
                // The node's other flows are not here: one of them may have the source port that this one got.
                if scratch.copy_taken(&key, taken >= FEW)? {
                    taken += 1;
                    wanted = Some(event.backend_id);
                    scratch.undo(&key)?;
                    continue;
                }
            }
            let story = scratch.story(to, event, reasons)?;
            return Ok(PacketStory {
                frame: frame.to_vec(),
                story,
                trial,
            });
        }
    }
}

/// The packet as it comes in by the device of this index.
pub(super) fn frame(probe: &Probe, ifindex: u32) -> Vec<u8> {
    // A device without Ethernet headers has no such address, and the kernel takes any packet for its own.
    let address = link_header::ethernet_address_at(ifindex).unwrap_or_default();
    probe.frame(address)
}

/// Key of the packet's flow.
pub(super) fn key<F: Both>(probe: &Probe) -> FlowKey<F::Addr> {
    FlowKey {
        src: addr::<F>(probe.from.ip()),
        dst: addr::<F>(probe.to.ip()),
        sport: Be16::new(probe.from.port()),
        dport: Be16::new(probe.to.port()),
        proto: probe.protocol,
        direction: direction::FORWARD,
        zero: 0,
    }
}

/// Of a key of frontends.
pub(super) fn destination<F: Both>(to: SocketAddr, protocol: u8) -> (F::Addr, Be16, u8) {
    (addr::<F>(to.ip()), Be16::new(to.port()), protocol)
}
