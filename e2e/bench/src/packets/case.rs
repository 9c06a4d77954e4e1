//! Packets that leave the tables as they are: each is the same packet again.

use anyhow::{Result, ensure};
use kpr_abi::Reason;
use kpr_node_agent::datapath;

use super::{
    floor::{Hook, Program},
    frame::Frame,
    rig::Rig,
    traffic::Fate,
};
use crate::contest::{Contest, Side, Sorted, Summary, play};

/// How many packets are looked at before and after.
const CHECKED: usize = 500;
/// Packets of a sample: enough for the clock, and each packet at least once.
const SAMPLE: u32 = 20_000;
/// Parts of a sample; their median counts, since an interrupt or another process may have stretched one.
const PARTS: u32 = 5;

/// One of kpr's programs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ours {
    Tc(datapath::Side),
    Xdp,
}

impl Ours {
    fn hook(self) -> Hook {
        match self {
            Self::Tc(_) => Hook::Tc,
            Self::Xdp => Hook::Xdp,
        }
    }
}

/// What is measured.
pub(super) struct Case {
    /// kpr's program.
    pub(super) ours: Ours,
    /// The floor's.
    pub(super) floor: Program,
    /// The packets, and what becomes of each, with either program.
    pub(super) packets: Vec<(Frame, Fate)>,
}

/// Measures it. What becomes of packets is looked at before and after, and that nothing was counted in between but what XDP sends: no
/// packet was dropped, began a flow or was taken for a stray.
pub(super) fn measure(rig: &mut Rig, case: Case, rounds: u32) -> Result<Summary> {
    let frames: Vec<_> = case.packets.iter().map(|(frame, _)| *frame).collect();
    rig.floor.set_packets(&frames)?;
    let mut steady = Steady {
        repeat: SAMPLE.max(u32::try_from(frames.len())?),
        rig,
        case,
        sent: 0,
    };
    steady.check()?;
    let before = steady.rig.counts()?;
    steady.sent = 0;
    let summary = play(&mut steady, rounds)?;
    steady.check()?;
    let after = steady.rig.counts()?;
    for ((reason, before), after) in Reason::ALL.iter().zip(before).zip(after) {
        let expected = if *reason == Reason::XdpForwarded {
            steady.sent
        } else {
            0
        };
        ensure!(
            after - before == expected,
            "{} was counted {} times, and not {expected}",
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
    /// Packets that kpr's program of XDP was to send.
    sent: u64,
}

impl Steady<'_> {
    fn hook(&self) -> Hook {
        self.case.ours.hook()
    }

    fn aim(&mut self, side: Side) -> Result<()> {
        let hook = self.hook();
        match side {
            Side::Ours => {
                let datapath = self.rig.node.datapath()?;
                let program = match self.case.ours {
                    Ours::Tc(side) => datapath.descriptor(side)?,
                    Ours::Xdp => datapath.xdp_descriptor()?,
                };
                self.rig.floor.aim_at(hook, program)
            }
            Side::Peer => self.rig.floor.aim(hook, self.case.floor),
        }
    }

    /// So many packets were given to a side.
    fn note(&mut self, side: Side, packets: u32) {
        let is_sent = self.case.packets.iter().any(|(_, fate)| fate.is_sent());
        if side == Side::Ours && self.hook() == Hook::Xdp && is_sent {
            self.sent += u64::from(packets);
        }
    }

    fn check(&mut self) -> Result<()> {
        let step = self.case.packets.len().div_ceil(CHECKED);
        for side in [Side::Ours, Side::Peer] {
            self.aim(side)?;
            for index in (0..self.case.packets.len()).step_by(step) {
                let hook = self.hook();
                let ran = self.rig.floor.run(hook, u32::try_from(index)?, 1)?;
                self.note(side, 1);
                let (frame, fate) = &self.case.packets[index];
                ensure!(
                    fate.is(hook, ran.verdict, &ran.packet),
                    "{side:?}: of {frame:?} became {ran:?}, and not {fate:?}"
                );
            }
        }
        Ok(())
    }

    fn nanoseconds(&mut self) -> Result<f64> {
        let part = self.repeat / PARTS;
        let hook = self.hook();
        let parts = (0..PARTS).map(|index| {
            let from = (index * part) % u32::try_from(self.case.packets.len())?;
            Ok(self.rig.floor.run(hook, from, part)?.nanoseconds.into())
        });
        Ok(Sorted::new(parts.collect::<Result<Vec<f64>>>()?).quantile(0.5))
    }
}

impl Contest for Steady<'_> {
    fn sample(&mut self, side: Side) -> Result<f64> {
        self.aim(side)?;
        self.note(side, self.repeat / PARTS * PARTS);
        self.nanoseconds()
    }

    fn overhead(&mut self) -> Result<f64> {
        self.rig.floor.aim(self.hook(), Program::Empty)?;
        self.nanoseconds()
    }
}
