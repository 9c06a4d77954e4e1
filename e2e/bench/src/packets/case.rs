//! Packets that leave the tables as they are: each is the same packet again.

use anyhow::{Result, ensure};
use kpr_abi::Reason;
use kpr_node_agent::datapath;

use super::{floor::Program, frame::Frame, rig::Rig, traffic::Fate};
use crate::contest::{Contest, Side, Sorted, Summary, play};

/// How many packets are looked at before and after.
const CHECKED: usize = 500;
/// Packets of a sample: enough for the clock, and each packet at least once.
const SAMPLE: u32 = 20_000;
/// Parts of a sample; their median counts, since an interrupt or another process may have stretched one.
const PARTS: u32 = 5;

/// What is measured.
pub(super) struct Case {
    /// kpr's program.
    pub(super) ours: datapath::Side,
    /// The floor's.
    pub(super) floor: Program,
    /// The packets, and what becomes of each, with either program.
    pub(super) packets: Vec<(Frame, Fate)>,
}

/// Measures it. What becomes of packets is looked at before and after, and that nothing was counted in between: no packet was
/// dropped, began a flow or was taken for a stray.
pub(super) fn measure(rig: &mut Rig, case: Case, rounds: u32) -> Result<Summary> {
    let frames: Vec<_> = case.packets.iter().map(|(frame, _)| *frame).collect();
    rig.floor.set_packets(&frames)?;
    let mut steady = Steady {
        repeat: SAMPLE.max(u32::try_from(frames.len())?),
        rig,
        case,
    };
    steady.check()?;
    let before = steady.rig.counts()?;
    let summary = play(&mut steady, rounds)?;
    steady.check()?;
    let after = steady.rig.counts()?;
    for ((reason, before), after) in Reason::ALL.iter().zip(before).zip(after) {
        ensure!(
            before == after,
            "{} was counted {} times",
            reason.name(),
            after - before
        );
    }
    Ok(summary)
}

struct Steady<'r> {
    rig: &'r mut Rig,
    case: Case,
    repeat: u32,
}

impl Steady<'_> {
    fn aim(&mut self, side: Side) -> Result<()> {
        match side {
            Side::Ours => {
                let program = self.rig.node.datapath()?.descriptor(self.case.ours)?;
                self.rig.floor.aim_at(program)
            }
            Side::Peer => self.rig.floor.aim(self.case.floor),
        }
    }

    fn check(&mut self) -> Result<()> {
        let step = self.case.packets.len().div_ceil(CHECKED);
        for side in [Side::Ours, Side::Peer] {
            self.aim(side)?;
            for (index, (frame, fate)) in self.case.packets.iter().enumerate().step_by(step) {
                let ran = self.rig.floor.run(u32::try_from(index)?, 1)?;
                ensure!(
                    ran.verdict == fate.verdict && ran.packet == fate.frame.bytes(),
                    "{side:?}: of {frame:?} became {ran:?}, and not {fate:?}"
                );
            }
        }
        Ok(())
    }

    fn nanoseconds(&mut self) -> Result<f64> {
        let part = self.repeat / PARTS;
        let parts = (0..PARTS).map(|index| {
            let from = (index * part) % u32::try_from(self.case.packets.len())?;
            Ok(self.rig.floor.run(from, part)?.nanoseconds.into())
        });
        Ok(Sorted::new(parts.collect::<Result<Vec<f64>>>()?).quantile(0.5))
    }
}

impl Contest for Steady<'_> {
    fn sample(&mut self, side: Side) -> Result<f64> {
        self.aim(side)?;
        self.nanoseconds()
    }

    fn overhead(&mut self) -> Result<f64> {
        self.rig.floor.aim(Program::Empty)?;
        self.nanoseconds()
    }
}
