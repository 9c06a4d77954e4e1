//! The floor's object: its programs, its maps, and the program that has another one run on packet after packet.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, HashMap, Map, MapData, MapError, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRunOptions},
};
use kpr_abi::{Addr4, BackendValue, FlowKey, FlowValue, ServiceKey};

use super::frame::{Frame, LENGTH};

/// A program of the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Empty,
    Miss,
    Forward,
    Reply,
    Begin,
}

impl Program {
    const ALL: [Self; 5] = [Self::Empty, Self::Miss, Self::Forward, Self::Reply, Self::Begin];

    fn name(self) -> &'static str {
        match self {
            Self::Empty => "floor_empty",
            Self::Miss => "floor_miss",
            Self::Forward => "floor_forward",
            Self::Reply => "floor_reply",
            Self::Begin => "floor_begin",
        }
    }
}

/// How much the floor's maps are to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) packets: u32,
    pub(super) frontends: u32,
    pub(super) backends: u32,
    pub(super) flows: u32,
}

/// What some runs came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// The last run's verdict.
    pub(super) verdict: i32,
    /// The last run's packet afterwards.
    pub(super) packet: Vec<u8>,
    /// Of one run, in the mean.
    pub(super) nanoseconds: u32,
}

/// The loaded object.
pub(super) struct Floor {
    ebpf: Ebpf,
    packets: Array<MapData, [u64; 8]>,
    /// Index of the next packet and their number, and how many runs there were.
    cursor: Array<MapData, [u64; 2]>,
    target: ProgramArray<MapData>,
    pub(super) frontends: HashMap<MapData, ServiceKey<Addr4>, u32>,
    pub(super) backends: Array<MapData, BackendValue<Addr4>>,
    pub(super) flows: HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>>,
    first: Option<Frame>,
    count: u32,
    ifindex: u32,
}

impl Floor {
    /// Loads the object at `path`. `node`: the node's address; `ifindex`: the device that packets come in by.
    pub(super) fn load(path: &Path, sizes: Sizes, node: Addr4, ifindex: u32) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries("PACKETS", sizes.packets)
            .map_max_entries("FRONTENDS", sizes.frontends)
            .map_max_entries("BACKENDS", sizes.backends)
            .map_max_entries("FLOWS", sizes.flows)
            .override_global("NODE_ADDRESS", &node.0, true);
        let mut ebpf = loader
            .load_file(path)
            .with_context(|| format!("load {}: `cargo xtask build` makes it", path.display()))?;
        for name in Program::ALL.map(Program::name).into_iter().chain(["start"]) {
            let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut SchedClassifier = program.try_into()?;
            program.load().with_context(|| format!("load {name}"))?;
        }
        Ok(Self {
            packets: take(&mut ebpf, "PACKETS")?,
            cursor: take(&mut ebpf, "CURSOR")?,
            target: take(&mut ebpf, "TARGET")?,
            frontends: take(&mut ebpf, "FRONTENDS")?,
            backends: take(&mut ebpf, "BACKENDS")?,
            flows: take(&mut ebpf, "FLOWS")?,
            ebpf,
            first: None,
            count: 0,
            ifindex,
        })
    }

    /// Sets the packets that runs go through, one after the other and round again.
    pub(super) fn set_packets(&mut self, frames: &[Frame]) -> Result<()> {
        for (index, frame) in (0..).zip(frames) {
            self.packets.set(index, frame.template(), 0)?;
        }
        self.first = frames.first().copied();
        self.count = u32::try_from(frames.len())?;
        Ok(())
    }

    /// Aims at a program of the floor.
    pub(super) fn aim(&mut self, program: Program) -> Result<()> {
        let program: &SchedClassifier = self.ebpf.program(program.name()).context("a program")?.try_into()?;
        self.target.set(0, program.fd()?, 0)?;
        Ok(())
    }

    /// Aims at another program.
    pub(super) fn aim_at(&mut self, program: &ProgramFd) -> Result<()> {
        self.target.set(0, program, 0)?;
        Ok(())
    }

    /// Has the program run that was aimed at, so many times, from the packet at `from` on.
    pub(super) fn run(&mut self, from: u32, repeat: u32) -> Result<Ran> {
        let frame = self.first.context("there are no packets")?;
        self.cursor
            .set(0, [u64::from(from) | u64::from(self.count) << 32, 0], 0)?;
        let start: &SchedClassifier = self.ebpf.program("start").context("a program")?.try_into()?;
        let mut packet = vec![0; 2 * LENGTH];
        let result = start.test_run(TestRunOptions {
            data_in: Some(&frame.bytes()),
            data_out: Some(&mut packet),
            ctx_in: Some(&context(self.ifindex)),
            repeat,
            ..TestRunOptions::new()
        })?;
        packet.truncate(result.data_size_out as usize);
        let [_, runs] = self.cursor.get(&0, 0)?;
        ensure!(runs == u64::from(repeat), "{runs} runs instead of {repeat}");
        #[expect(clippy::cast_possible_wrap, reason = "tc verdicts are signed")]
        let verdict = result.return_value as i32;
        if verdict == STOLEN {
            bail!("the jump to the program failed");
        }
        Ok(Ran {
            verdict,
            packet,
            nanoseconds: u32::try_from(result.duration.as_nanos())?,
        })
    }
}

/// `TC_ACT_STOLEN`: what the program returns that jumps, if it cannot.
const STOLEN: i32 = 4;

/// The start of `struct __sk_buff` (`include/uapi/linux/bpf.h`): all zero but the device.
fn context(ifindex: u32) -> [u8; 44] {
    const IFINDEX: usize = 40;
    let mut context = [0; 44];
    context[IFINDEX..].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<T> {
    let map = ebpf.take_map(name).with_context(|| format!("no map {name}"))?;
    T::try_from(map).with_context(|| format!("map {name}"))
}
