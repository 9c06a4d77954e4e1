//! The floor's object: its programs, its maps, and the program that has another one run on packet after packet.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, HashMap, Map, MapData, MapError, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRunOptions, Xdp},
};
use kpr_abi::{Addr4, BackendValue, FlowKey, FlowValue, ServiceKey};

use super::frame::{Frame, LENGTH};

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Tc,
    Xdp,
}

/// A program of the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Empty,
    Miss,
    Forward,
    Reply,
    Begin,
}

/// All of them that there are on each hook, and those by which they begin.
const PROGRAMS: [(Hook, &str); 11] = [
    (Hook::Tc, "start"),
    (Hook::Tc, "floor_empty"),
    (Hook::Tc, "floor_miss"),
    (Hook::Tc, "floor_forward"),
    (Hook::Tc, "floor_reply"),
    (Hook::Tc, "floor_begin"),
    (Hook::Xdp, "start_xdp"),
    (Hook::Xdp, "floor_xdp_empty"),
    (Hook::Xdp, "floor_xdp_miss"),
    (Hook::Xdp, "floor_xdp_fwd"),
    (Hook::Xdp, "floor_xdp_reply"),
];

impl Program {
    fn name(self, hook: Hook) -> Option<&'static str> {
        Some(match (hook, self) {
            (Hook::Tc, Self::Empty) => "floor_empty",
            (Hook::Tc, Self::Miss) => "floor_miss",
            (Hook::Tc, Self::Forward) => "floor_forward",
            (Hook::Tc, Self::Reply) => "floor_reply",
            (Hook::Tc, Self::Begin) => "floor_begin",
            (Hook::Xdp, Self::Empty) => "floor_xdp_empty",
            (Hook::Xdp, Self::Miss) => "floor_xdp_miss",
            (Hook::Xdp, Self::Forward) => "floor_xdp_fwd",
            (Hook::Xdp, Self::Reply) => "floor_xdp_reply",
            (Hook::Xdp, Self::Begin) => return None,
        })
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
    xdp_target: ProgramArray<MapData>,
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
        for (hook, name) in PROGRAMS {
            let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
            let result = match hook {
                Hook::Tc => TryInto::<&mut SchedClassifier>::try_into(program)?.load(),
                Hook::Xdp => TryInto::<&mut Xdp>::try_into(program)?.load(),
            };
            result.with_context(|| format!("load {name}"))?;
        }
        Ok(Self {
            packets: take(&mut ebpf, "PACKETS")?,
            cursor: take(&mut ebpf, "CURSOR")?,
            target: take(&mut ebpf, "TARGET")?,
            xdp_target: take(&mut ebpf, "XDP_TARGET")?,
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
    pub(super) fn aim(&mut self, hook: Hook, program: Program) -> Result<()> {
        let name = program.name(hook).context("there is no such program on this hook")?;
        let program = self.ebpf.program(name).context("a program")?;
        match hook {
            Hook::Tc => self
                .target
                .set(0, TryInto::<&SchedClassifier>::try_into(program)?.fd()?, 0)?,
            Hook::Xdp => self.xdp_target.set(0, TryInto::<&Xdp>::try_into(program)?.fd()?, 0)?,
        }
        Ok(())
    }

    /// Aims at another program.
    pub(super) fn aim_at(&mut self, hook: Hook, program: &ProgramFd) -> Result<()> {
        match hook {
            Hook::Tc => self.target.set(0, program, 0)?,
            Hook::Xdp => self.xdp_target.set(0, program, 0)?,
        }
        Ok(())
    }

    /// Has the program of this hook run that was aimed at, so many times, from the packet at `from` on.
    pub(super) fn run(&mut self, hook: Hook, from: u32, repeat: u32) -> Result<Ran> {
        let frame = self.first.context("there are no packets")?;
        self.cursor
            .set(0, [u64::from(from) | u64::from(self.count) << 32, 0], 0)?;
        let mut packet = vec![0; 2 * LENGTH];
        let bytes = frame.bytes();
        let context = match hook {
            Hook::Tc => context(self.ifindex).to_vec(),
            Hook::Xdp => xdp_context(self.ifindex).to_vec(),
        };
        let options = TestRunOptions {
            data_in: Some(&bytes),
            data_out: Some(&mut packet),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::new()
        };
        let result = match hook {
            Hook::Tc => {
                let start: &SchedClassifier = self.ebpf.program("start").context("a program")?.try_into()?;
                start.test_run(options)
            }
            Hook::Xdp => {
                let start: &Xdp = self.ebpf.program("start_xdp").context("a program")?.try_into()?;
                start.test_run(options)
            }
        }?;
        packet.truncate(result.data_size_out as usize);
        let [_, runs] = self.cursor.get(&0, 0)?;
        ensure!(runs == u64::from(repeat), "{runs} runs instead of {repeat}");
        #[expect(clippy::cast_possible_wrap, reason = "tc verdicts are signed")]
        let verdict = result.return_value as i32;
        if verdict == jump_failed(hook) {
            bail!("the jump to the program failed");
        }
        Ok(Ran {
            verdict,
            packet,
            nanoseconds: u32::try_from(result.duration.as_nanos())?,
        })
    }
}

/// What the program returns that jumps, if it cannot: `TC_ACT_STOLEN`, `XDP_ABORTED`.
fn jump_failed(hook: Hook) -> i32 {
    match hook {
        Hook::Tc => 4,
        Hook::Xdp => 0,
    }
}

/// `struct xdp_md`: where the frame begins and ends, and the device.
fn xdp_context(ifindex: u32) -> [u8; 24] {
    const END: usize = 4;
    const IFINDEX: usize = 12;
    #[expect(clippy::cast_possible_truncation, reason = "a short frame")]
    let length = LENGTH as u32;
    let mut context = [0; 24];
    context[END..END + 4].copy_from_slice(&length.to_ne_bytes());
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

/// The start of `struct __sk_buff` (`include/uapi/linux/bpf.h`): all zero but the device.
fn context(ifindex: u32) -> [u8; 44] {
    const IFINDEX: usize = 40;
    let mut context = [0; 44];
    context[IFINDEX..].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

pub(crate) fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<T> {
    let map = ebpf.take_map(name).with_context(|| format!("no map {name}"))?;
    T::try_from(map).with_context(|| format!("map {name}"))
}
