//! Runs of slots: which are in use, which wait for their last readers, where there is room.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Generation, extents::Extents};

/// A run of slots as it stands in the map. Never changed while it is tracked.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) ids: Arc<[u32]>,
    /// How many slices of published services lead here.
    holds: u32,
    /// When the last of them went; meaningful while `holds` is 0.
    since: Generation,
}

/// All runs of a slot table. A run that nothing holds is in quarantine: it can be held again as it is, and is free once
/// its generation has been released.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    by_base: BTreeMap<u32, Run>,
    /// Where to find a list of ids. A run with content that is not in here is not shared.
    by_ids: HashMap<Arc<[u32]>, u32>,
    quarantine: BTreeSet<(Generation, u32)>,
    room: Extents,
}

impl Runs {
    pub(super) fn new(size: u32) -> Self {
        Self {
            by_base: BTreeMap::new(),
            by_ids: HashMap::new(),
            quarantine: BTreeSet::new(),
            room: Extents::new(size),
        }
    }

    /// Tracks a run that was written and that nothing holds yet.
    pub(super) fn insert(&mut self, base: u32, ids: Arc<[u32]>, now: Generation) {
        self.by_ids.entry(Arc::clone(&ids)).or_insert(base);
        self.insert_unshared(base, ids, now);
    }

    /// Tracks a run that no other service shall share: its content is not to be trusted.
    pub(super) fn insert_unshared(&mut self, base: u32, ids: Arc<[u32]>, now: Generation) {
        let len = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.room.take(base, len);
        self.quarantine.insert((now, base));
        let run = Run {
            ids,
            holds: 0,
            since: now,
        };
        self.by_base.insert(base, run);
    }

    /// The run that starts at a slot.
    pub(super) fn at(&self, base: u32) -> Option<&Run> {
        self.by_base.get(&base)
    }

    /// Where a list of ids stands.
    pub(super) fn find(&self, ids: &[u32]) -> Option<u32> {
        self.by_ids.get(ids).copied()
    }

    /// A service leads to the run.
    pub(super) fn hold(&mut self, base: u32) {
        if let Some(run) = self.by_base.get_mut(&base) {
            if run.holds == 0 {
                self.quarantine.remove(&(run.since, base));
            }
            run.holds += 1;
        }
    }

    /// A service leads to the run no more.
    pub(super) fn unhold(&mut self, base: u32, now: Generation) {
        if let Some(run) = self.by_base.get_mut(&base) {
            run.holds = run.holds.saturating_sub(1);
            if run.holds == 0 {
                run.since = now;
                self.quarantine.insert((now, base));
            }
        }
    }

    /// Frees what nothing has held since `until` or before, and returns the ids that were in it.
    pub(super) fn release(&mut self, until: Generation) -> Vec<Arc<[u32]>> {
        let mut freed = Vec::new();
        while let Some(&(since, base)) = self.quarantine.first() {
            if since > until {
                break;
            }
            self.quarantine.pop_first();
            if let Some(run) = self.by_base.remove(&base) {
                if self.find(&run.ids) == Some(base) {
                    self.by_ids.remove(&run.ids);
                }
                self.room.free(base, u32::try_from(run.ids.len()).unwrap_or(u32::MAX));
                freed.push(run.ids);
            }
        }
        freed
    }

    /// Whether a run waits since `generation`, which is the last one, to be released.
    pub(super) fn waits_since(&self, generation: Generation) -> bool {
        self.quarantine.last().is_some_and(|&(since, _)| since == generation)
    }

    pub(super) fn room(&self) -> &Extents {
        &self.room
    }
}
