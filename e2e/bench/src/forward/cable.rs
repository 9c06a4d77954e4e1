//! The other end of a node's cable: programs of XDP that send the node frames and count what it sends on (`bpf/floor`, `generate` and
//! `sink`).

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, HashMap, MapData},
    programs::{LinkOrder, Program, TcAttachType, TestRunAttrs, TestRunOptions, Xdp, XdpMode, tc::TcAttachOptions},
};
use kpr_abi::{Addr4, FlowKey, FlowValue};
use kpr_cluster::net::Netns;
use nix::net::if_::if_nametoindex;

use super::{
    datagram::{Datagram, HEADERS, headers},
    flows::FLOWS,
};
use crate::{
    machine,
    packets::{
        floor::take,
        frame::{LENGTH, NODE_MAC, OTHER_NODE_MAC},
    },
    pods,
};

/// Frames that are made and sent together: as many as a driver takes in one go (`NAPI_POLL_WEIGHT`).
const BATCH: u32 = 64;
/// Of a thousand frames, how many must come out: the kernel may leave the last ones of a run for later.
const DELIVERED: u64 = 999;

/// The map `SINK`: whether it is open, how many frames it has ended, whether it keeps the last one, and that one's headers.
type Sink = [u64; 11];
const OPEN: usize = 0;
const ENDED: usize = 1;
const KEEPS: usize = 2;
const LAST: usize = 3;

/// A node's.
pub(super) struct Cable {
    ebpf: Ebpf,
    switch: Netns,
    packets: Array<MapData, [u64; 8]>,
    cursor: Array<MapData, [u64; 2]>,
    sink: Array<MapData, Sink>,
    flows: HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>>,
    count: u32,
}

impl Cable {
    /// Loads the object at `floor`, and puts the sink on the end called `port` in the switch. It is closed: everything passes.
    pub(super) fn attach(floor: &Path, switch: &Netns, port: &str, node: Addr4, backend: Ipv4Addr) -> Result<Self> {
        let halves = [OTHER_NODE_MAC, NODE_MAC].concat();
        let mut link_header = [0; 6];
        for (half, bytes) in link_header.iter_mut().zip(halves.as_chunks::<2>().0) {
            *half = u16::from_ne_bytes(*bytes);
        }
        switch.run(|| {
            let device = if_nametoindex(port)?;
            let mut ebpf = EbpfLoader::new()
                .map_max_entries("PACKETS", FLOWS)
                .map_max_entries("FLOWS", 16 * FLOWS)
                .override_global("NODE_ADDRESS", &node.0, true)
                .override_global("BACKEND_ADDRESS", &Addr4::from(backend).0, true)
                .override_global("BACKEND_PORT", &pods::PORT.to_be(), true)
                .override_global("LINK_HEADER", &link_header, true)
                .override_global("DEVICE", &device, true)
                .load_file(floor)
                .with_context(|| format!("load {}: `cargo xtask build` makes it", floor.display()))?;
            program(&mut ebpf, "generate")?;
            let sink = program(&mut ebpf, "sink")?;
            sink.attach_to_if_index(device, XdpMode::Driver)?;
            Ok(Self {
                packets: take(&mut ebpf, "PACKETS")?,
                cursor: take(&mut ebpf, "CURSOR")?,
                sink: take(&mut ebpf, "SINK")?,
                flows: take(&mut ebpf, "FLOWS")?,
                ebpf,
                switch: switch.clone(),
                count: 0,
            })
        })
    }

    /// Puts one of the floor's programs, which know these flows, on a node's device.
    pub(super) fn put_floor(
        &mut self,
        name: &str,
        node: &Netns,
        device: &str,
        flows: &[(FlowKey<Addr4>, FlowValue<Addr4>)],
    ) -> Result<()> {
        for (key, value) in flows {
            self.flows.insert(key, value, 0)?;
        }
        let floor = self
            .ebpf
            .program_mut(name)
            .with_context(|| format!("no program {name}"))?;
        node.run(|| match floor {
            Program::Xdp(floor) => {
                floor.load()?;
                floor.attach_to_if_index(if_nametoindex(device)?, XdpMode::Driver)?;
                Ok(())
            }
            Program::SchedClassifier(floor) => {
                floor.load()?;
                let alone = TcAttachOptions::TcxOrder(LinkOrder::default());
                floor.attach_with_options(device, TcAttachType::Ingress, alone)?;
                Ok(())
            }
            other => bail!("{name} is a {:?}", other.prog_type()),
        })
        .with_context(|| format!("put {name} on {device}"))
    }

    /// Sets the datagrams that are sent, one after the other and round again, and opens the sink.
    pub(super) fn open(&mut self, datagrams: &[Datagram]) -> Result<()> {
        for (index, datagram) in (0..).zip(datagrams) {
            self.packets.set(index, datagram.template(), 0)?;
        }
        self.count = u32::try_from(datagrams.len())?;
        self.set_sink(false)
    }

    /// Sends so many, and waits for them at the sink: how long one took, in nanoseconds, from its making to its end. All of it happens on
    /// one processor.
    pub(super) fn send(&mut self, datagrams: u32) -> Result<f64> {
        let before = self.sink.get(&0, 0)?[ENDED];
        let took = self.run(0, datagrams)?;
        let ended = self.sink.get(&0, 0)?[ENDED] - before;
        ensure!(
            ended * 1_000 >= u64::from(datagrams) * DELIVERED,
            "of {datagrams} datagrams {ended} came out on their way to the backend"
        );
        #[expect(clippy::cast_precision_loss, reason = "a number of datagrams")]
        Ok(took * f64::from(datagrams) / ended as f64)
    }

    /// Sends the datagram at `index`: its headers as it comes out.
    pub(super) fn pass(&mut self, index: u32) -> Result<[u8; HEADERS]> {
        self.set_sink(true)?;
        self.run(index, 1)?;
        let sink = self.sink.get(&0, 0)?;
        self.set_sink(false)?;
        ensure!(sink[ENDED] == 1, "datagram {index} did not come out");
        let mut last = [0; 8];
        last.copy_from_slice(&sink[LAST..]);
        Ok(headers(last))
    }

    fn set_sink(&mut self, keeps: bool) -> Result<()> {
        let mut sink = Sink::default();
        sink[OPEN] = 1;
        sink[KEEPS] = keeps.into();
        Ok(self.sink.set(0, sink, 0)?)
    }

    /// Nanoseconds of one, in the mean.
    fn run(&mut self, from: u32, repeat: u32) -> Result<f64> {
        let start = u64::from(from) | u64::from(self.count) << 32;
        self.cursor.set(0, [start, 0], 0)?;
        let generate: &Xdp = self.ebpf.program("generate").context("a program")?.try_into()?;
        let ran = self.switch.run(|| {
            machine::stay_on_one_cpu()?;
            machine::hurry_this_thread()?;
            Ok(generate.test_run(TestRunOptions {
                data_in: Some(&[0; LENGTH]),
                repeat,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::new()
            })?)
        })?;
        let [_, runs] = self.cursor.get(&0, 0)?;
        ensure!(runs == u64::from(repeat), "{runs} frames were made instead of {repeat}");
        // The kernel rounds down.
        Ok(f64::from(u32::try_from(ran.duration.as_nanos())?) + 0.5)
    }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    program.load().with_context(|| format!("load {name}"))?;
    Ok(program)
}
