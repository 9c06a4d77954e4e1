//! Packets that XDP sees first.

use super::{
    super::{
        Error, sys,
        tables::{convert, map_error, reconcile, take},
        trial::run_xdp,
        xdp,
    },
    Both, Explainer, PacketStory, Probe,
    live::Live,
    load,
    packet::{destination, frame, key},
};
use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, MapError, xdp::DevMapHash},
};
use kpr_abi::{V4, V6, maps, xdp::HardwareAddress};
use std::collections::BTreeMap;

/// What the program knows of devices: the node's maps, and those of the program that explains.
pub(super) struct Accelerated {
    addresses: HashMap<MapData, u32, HardwareAddress>,
    ways_out: DevMapHash<MapData>,
}

impl Accelerated {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            addresses: convert(maps::XDP_ADDRESSES, take(ebpf, maps::XDP_ADDRESSES)?)?,
            ways_out: convert(maps::XDP_DEVICES, take(ebpf, maps::XDP_DEVICES)?)?,
        })
    }

    /// Copies what the program that runs knows.
    fn copy(&mut self, live: &Live) -> Result<(), Error> {
        let addresses: HashMap<MapData, u32, HardwareAddress> = open(live, maps::XDP_ADDRESSES)?;
        let known: Result<BTreeMap<_, _>, MapError> = addresses.iter().collect();
        let known = known.map_err(map_error(maps::XDP_ADDRESSES))?;
        reconcile(maps::XDP_ADDRESSES, &mut self.addresses, &known)?;
        let ways_out: DevMapHash<MapData> = open(live, maps::XDP_DEVICES)?;
        for device in ways_out.keys() {
            let device = device.map_err(map_error(maps::XDP_DEVICES))?;
            xdp::let_out(&mut self.ways_out, device)?;
        }
        Ok(())
    }
}

/// A map of the XDP program that runs.
fn open<T: TryFrom<Map, Error = MapError>>(live: &Live, name: &'static str) -> Result<T, Error> {
    let id = live.xdp_map(name).ok_or(Error::NotLive)?;
    let map = sys::map_by_id(id).map_err(|source| Error::Io {
        what: format!("open the map {name}"),
        source,
    })?;
    let data = MapData::from_fd(map).map_err(map_error(name))?;
    convert(name, Map::from_map_data(data).map_err(map_error(name))?)
}

impl Explainer {
    /// What XDP would do with a packet that comes in by the device of this index, which has the program. [`Verdict::Next`](crate::datapath::Verdict::Next):
    /// it goes up as it came, to be explained as [`Self::packet`] does.
    pub fn xdp(&mut self, probe: &Probe, ifindex: u32) -> Result<PacketStory, Error> {
        self.accelerated.copy(&self.live)?;
        if probe.to.is_ipv4() {
            self.xdp_of::<V4>(probe, ifindex)
        } else {
            self.xdp_of::<V6>(probe, ifindex)
        }
    }

    fn xdp_of<F: Both>(&mut self, probe: &Probe, ifindex: u32) -> Result<PacketStory, Error> {
        let frame = frame(probe, ifindex);
        let scratch = F::scratch(self);
        scratch.forget()?;
        scratch.copy_flows(&key::<F>(probe))?;
        self.record.clear()?;
        let trial = run_xdp(load::program(&mut self.ebpf, xdp::PROGRAM)?, &frame, ifindex)?;
        let (event, reasons) = self.record.of_packet()?;
        let story = F::scratch(self).story(destination::<F>(probe.to, probe.protocol), event, reasons)?;
        Ok(PacketStory { frame, story, trial })
    }
}
