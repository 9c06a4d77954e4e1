//! Between the core and the thread that sweeps.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::datapath::{SnatUse, Sweep};

/// How long whoever asks waits for a sweep.
const ASKED: Duration = Duration::from_secs(15);

/// What the core wants, and what the thread found. Clones of the `Arc` around it are the two ends.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// There is a datapath whose flows age.
    on: bool,
    urgency: Urgency,
    ended: bool,
    snat_ports: u32,
    counts_connections: bool,
    /// Sweeps that were reported.
    number: u64,
    findings: Option<Arc<Findings>>,
}

/// How much the next sweep is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// When its time comes.
    #[default]
    None,
    /// Somebody waits for what it finds.
    Asked,
    /// Flows were refused for want of room since the last one.
    Hurry,
}

/// The last sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Which one it is, counted from 1; given when it is reported.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// From it to the next.
    pub pause: Duration,
    /// The IPv4 table.
    pub v4: Sweep,
    /// The IPv6 table.
    pub v6: Sweep,
}

impl Findings {
    /// Whether something holds for a table.
    pub fn any(&self, holds: impl Fn(&Sweep) -> bool) -> bool {
        holds(&self.v4) || holds(&self.v6)
    }

    /// The destination towards which most source ports are taken.
    pub fn fullest(&self) -> Option<&SnatUse> {
        let fullest = [&self.v4, &self.v6]
            .into_iter()
            .filter_map(|sweep| sweep.fullest.as_ref());
        fullest.max_by_key(|fullest| fullest.ports)
    }
}

/// Why the thread wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The time has come.
    Due {
        /// Flows were refused for want of room.
        hurried: bool,
    },
    /// A datapath is there now: its first sweep is due after a while.
    On,
    /// There will be no more orders.
    Ended,
}

impl Control {
    /// A datapath is loaded, with so many SNAT source ports towards each backend; it may count connections.
    pub fn on(&self, snat_ports: u32, counts_connections: bool) {
        self.change(|state| {
            state.on = true;
            state.snat_ports = snat_ports;
            state.counts_connections = counts_connections;
        });
    }

    /// Whether connections are counted.
    pub(super) fn counts_connections(&self) -> bool {
        self.state().counts_connections
    }

    /// Whether source ports run short: towards some backend more than half of them were taken when the flows were last swept.
    pub(super) fn is_short_of_ports(&self) -> bool {
        let state = self.state();
        let taken = state
            .findings
            .as_deref()
            .and_then(Findings::fullest)
            .map(|fullest| fullest.ports);
        taken.is_some_and(|taken| taken > state.snat_ports / 2)
    }

    /// There is no datapath any more.
    pub fn off(&self) {
        self.change(|state| {
            state.on = false;
            state.findings = None;
        });
    }

    /// Flows are refused for want of room: some of those that are there may have ended.
    pub fn hurry(&self) {
        self.change(|state| state.urgency = Urgency::Hurry);
    }

    /// What the next sweep finds is waited for.
    pub fn ask(&self) {
        self.change(|state| state.urgency = state.urgency.max(Urgency::Asked));
    }

    /// What the last sweep found; none before the first.
    pub fn findings(&self) -> Option<Arc<Findings>> {
        self.state().findings.clone()
    }

    /// How many sweeps were reported so far.
    pub fn number(&self) -> u64 {
        self.state().number
    }

    /// Waits until `due`, or until there is a hurry, but then not before `earliest`, or for as long as is decent if somebody asks. While
    /// there is no datapath it waits for one.
    pub(super) fn wait(&self, earliest: Instant, due: Instant) -> Wake {
        let mut state = self.state();
        let mut was_off = false;
        loop {
            if state.ended {
                return Wake::Ended;
            }
            if !state.on {
                was_off = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if was_off {
                return Wake::On;
            }
            let until = match state.urgency {
                Urgency::Hurry => earliest.min(due),
                Urgency::Asked => due.min(earliest + ASKED),
                Urgency::None => due,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let hurried = std::mem::take(&mut state.urgency) == Urgency::Hurry;
                return Wake::Due { hurried };
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What a sweep found.
    pub(crate) fn report(&self, mut findings: Findings) {
        let mut state = self.state();
        // Of a datapath that was removed meanwhile nobody wants to know.
        if state.on {
            state.number += 1;
            findings.number = state.number;
            state.findings = Some(Arc::new(findings));
        }
    }

    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before the lock is given back: a panic elsewhere leaves nothing half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn a_hurry_brings_the_next_sweep_forward_once() {
        let (control, now) = (Control::default(), Instant::now());
        control.on(1_000, false);
        control.hurry();
        assert_eq!(control.wait(now, now + LONG), Wake::Due { hurried: true });
        assert_eq!(control.wait(now, now), Wake::Due { hurried: false });
    }

    #[test]
    fn a_sweep_that_is_waited_for_comes_within_a_quarter_of_a_minute() {
        let (control, now) = (Control::default(), Instant::now());
        control.on(1_000, false);
        control.ask();
        // Long ago for a sweep that is asked for, and not for any other.
        let earliest = now.checked_sub(ASKED).unwrap();
        assert_eq!(control.wait(earliest, now + LONG), Wake::Due { hurried: false });
        assert_eq!(control.state().urgency, Urgency::None, "the answer is on its way");
    }

    #[test]
    fn ports_run_short_when_more_than_half_towards_one_backend_are_taken() {
        let control = Control::default();
        control.on(1_000, false);
        assert!(!control.is_short_of_ports(), "nothing is known yet");
        for (taken, short) in [(500, false), (501, true)] {
            let fullest = SnatUse {
                backend: ([10, 244, 1, 2], 80).into(),
                proto: 6,
                source: [192, 168, 49, 2].into(),
                ports: taken,
            };
            control.report(Findings {
                v4: Sweep {
                    fullest: Some(fullest),
                    ..Sweep::default()
                },
                ..Findings::default()
            });
            assert_eq!(control.is_short_of_ports(), short, "{taken}");
        }
    }

    #[test]
    fn nothing_is_swept_before_there_is_a_datapath_or_after_it_is_gone() {
        let control = Arc::new(Control::default());
        let thread = std::thread::spawn({
            let control = Arc::clone(&control);
            move || control.wait(Instant::now(), Instant::now())
        });
        control.on(1_000, false);
        assert!(matches!(thread.join().unwrap(), Wake::On | Wake::Due { .. }));
        control.report(Findings::default());
        assert!(control.findings().is_some());
        control.off();
        assert_eq!(control.findings(), None);
        control.report(Findings::default());
        assert_eq!(control.findings(), None, "a sweep that was under way");
        control.end();
        assert_eq!(control.wait(Instant::now(), Instant::now()), Wake::Ended);
    }
}
