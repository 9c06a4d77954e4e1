//! How long it takes from a change of endpoints to the tables, for metrics.

use jiff::Timestamp;
use tokio::time::Instant;

use super::Progress;
use crate::{
    metrics::{Latency as Kind, Syncs},
    model::input::SliceInput,
};

/// A change of an EndpointSlice, as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// The family whose tables it is for; none if for neither.
    family: Option<&'static str>,
    /// When what it tells of happened, by the clock of the control plane.
    triggered: Option<Timestamp>,
    at: Instant,
    time: Timestamp,
}

impl Heard {
    /// Just now.
    pub(super) fn of(input: &SliceInput) -> Self {
        Self {
            family: input.family(),
            triggered: input.triggered(),
            at: Instant::now(),
            time: Timestamp::now(),
        }
    }
}

/// Changes that are not yet in the tables.
#[derive(Debug)]
pub(super) struct Latency {
    started: Timestamp,
    waiting: Vec<Heard>,
}

impl Latency {
    /// `started`: what was triggered before is what the first lists tell, of whatever age; kube-proxy leaves it out as well.
    pub(super) fn new(started: Timestamp) -> Self {
        Self {
            started,
            waiting: Vec::new(),
        }
    }

    /// A change came that makes a difference.
    pub(super) fn heard(&mut self, change: Heard) {
        self.waiting.push(change);
    }

    /// Counts those whose family has everything now.
    pub(super) fn written(&mut self, progress: impl Iterator<Item = Progress>, syncs: &Syncs) {
        if self.waiting.is_empty() {
            return;
        }
        let (now, time) = (Instant::now(), Timestamp::now());
        let current: Vec<&str> = progress
            .filter(|progress| progress.updated.is_some() && progress.pending_since.is_none())
            .map(|progress| progress.family)
            .collect();
        let started = self.started;
        self.waiting.retain(|change| {
            let Some(family) = change.family else { return false };
            if !current.contains(&family) {
                return true;
            }
            syncs.programmed(Kind::Programming, family, now.saturating_duration_since(change.at));
            if let Some(triggered) = change.triggered.filter(|triggered| *triggered > started) {
                // A clock of the control plane that is ahead of this node's counts as no time at all.
                let since = |then: Timestamp| then.duration_since(triggered).try_into().unwrap_or_default();
                syncs.programmed(Kind::Watch, family, since(change.time));
                syncs.programmed(Kind::Network, family, since(time));
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::tests::fixtures::{ep, slice};

    fn progress(family: &'static str, pending_since: Option<Instant>) -> Progress {
        Progress {
            updated: Some(Instant::now()),
            pending_since,
            ..Progress::new(family)
        }
    }

    /// How many changes were counted of a kind, for IPv4.
    fn counted(syncs: &Syncs, kind: Kind) -> u64 {
        syncs.count(kind, "IPv4")
    }

    #[test]
    fn a_change_counts_once_its_own_family_has_it() {
        let (mut latency, syncs) = (Latency::new(Timestamp::now()), Syncs::default());
        let later = Timestamp::now() + Duration::from_secs(1);
        latency.heard(Heard::of(
            &slice("web-1", "web").with([ep("10.244.0.2")]).triggered(later).parse(),
        ));
        latency.written(
            [progress("IPv4", Some(Instant::now())), progress("IPv6", None)].into_iter(),
            &syncs,
        );
        assert_eq!(
            counted(&syncs, Kind::Programming),
            0,
            "IPv4 still has changes that wait"
        );
        for _ in 0..2 {
            latency.written([progress("IPv4", None)].into_iter(), &syncs);
            assert_eq!(counted(&syncs, Kind::Programming), 1);
            assert_eq!(counted(&syncs, Kind::Network), 1);
            assert_eq!(counted(&syncs, Kind::Watch), 1);
        }
    }

    #[test]
    fn what_was_triggered_before_the_start_or_at_no_known_time_says_nothing_of_the_network() {
        let started = Timestamp::now();
        let (mut latency, syncs) = (Latency::new(started), Syncs::default());
        let web = || slice("web-1", "web").with([ep("10.244.0.2")]);
        latency.heard(Heard::of(&web().triggered(started).parse()));
        latency.heard(Heard::of(&web().parse()));
        latency.written([progress("IPv4", None)].into_iter(), &syncs);
        assert_eq!(counted(&syncs, Kind::Programming), 2);
        assert_eq!(counted(&syncs, Kind::Network), 0);
        assert_eq!(counted(&syncs, Kind::Watch), 0);
    }
}
