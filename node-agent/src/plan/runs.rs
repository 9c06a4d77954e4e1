//! Runs of slots: which are in use, which wait for their last readers, where there is room.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Generation, extents::Extents, slot_run::List};
use crate::hash::HashMap;

/// A run of slots as it stands in the map. Never changed while it is tracked.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) list: List,
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
    /// Where to find a list. A run with content that is not in here is not shared.
    by_list: HashMap<List, u32>,
    quarantine: BTreeSet<(Generation, u32)>,
    room: Extents,
}

impl Runs {
    pub(super) fn new(size: u32) -> Self {
        Self {
            by_base: BTreeMap::new(),
            by_list: HashMap::default(),
            quarantine: BTreeSet::new(),
            room: Extents::new(size),
        }
    }

    /// Tracks a run that was written and that nothing holds yet.
    pub(super) fn insert(&mut self, base: u32, list: List, now: Generation) {
        self.by_list.entry(list.clone()).or_insert(base);
        self.insert_unshared(base, list, now);
    }

    /// Tracks a run that no other service shall share: its content is not to be trusted.
    pub(super) fn insert_unshared(&mut self, base: u32, list: List, now: Generation) {
        self.room.take(base, list.slots());
        self.quarantine.insert((now, base));
        let run = Run {
            list,
            holds: 0,
            since: now,
        };
        self.by_base.insert(base, run);
    }

    /// The run that starts at a slot.
    pub(super) fn at(&self, base: u32) -> Option<&Run> {
        self.by_base.get(&base)
    }

    /// Where a list stands.
    pub(super) fn find(&self, list: &List) -> Option<u32> {
        self.by_list.get(list).copied()
    }

    /// A service leads to the run. Returns the ids in it if none did before.
    pub(super) fn hold(&mut self, base: u32) -> Option<Arc<[u32]>> {
        let run = self.by_base.get_mut(&base)?;
        run.holds += 1;
        (run.holds == 1).then(|| {
            self.quarantine.remove(&(run.since, base));
            Arc::clone(&run.list.ids)
        })
    }

    /// A service leads to the run no more. Returns the ids in it if no other does.
    pub(super) fn unhold(&mut self, base: u32, now: Generation) -> Option<Arc<[u32]>> {
        let run = self.by_base.get_mut(&base).filter(|run| run.holds > 0)?;
        run.holds -= 1;
        (run.holds == 0).then(|| {
            run.since = now;
            self.quarantine.insert((now, base));
            Arc::clone(&run.list.ids)
        })
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
                if self.find(&run.list) == Some(base) {
                    self.by_list.remove(&run.list);
                }
                self.room.free(base, run.list.slots());
                freed.push(run.list.ids);
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
