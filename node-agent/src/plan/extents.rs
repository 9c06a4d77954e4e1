//! Free runs of a table: best fit, lowest first among equals, neighbours join when freed.

use std::collections::{BTreeMap, BTreeSet};

/// The free part of `0..size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extents {
    /// Length by first index.
    by_base: BTreeMap<u32, u32>,
    /// The same, by length.
    by_len: BTreeSet<(u32, u32)>,
    free: u32,
}

impl Extents {
    /// All of it is free.
    pub(super) fn new(size: u32) -> Self {
        let mut extents = Self {
            by_base: BTreeMap::new(),
            by_len: BTreeSet::new(),
            free: 0,
        };
        extents.free(0, size);
        extents
    }

    /// Where a run of `len` would go, if there is room.
    fn fit(&self, len: u32) -> Option<u32> {
        self.by_len.range((len, 0)..).next().map(|&(_, base)| base)
    }

    /// Takes a run of `len` out.
    pub(super) fn allocate(&mut self, len: u32) -> Option<u32> {
        let base = self.fit(len)?;
        self.take(base, len);
        Some(base)
    }

    /// Takes a given run out. What of it is not free stays as it is.
    pub(super) fn take(&mut self, base: u32, len: u32) {
        let end = base.saturating_add(len);
        while let Some((from, until)) = self.overlapping(base, end) {
            self.remove(from, until);
            self.add(from, base);
            self.add(end, until);
        }
    }

    /// Gives a run back.
    pub(super) fn free(&mut self, base: u32, len: u32) {
        let (mut from, mut until) = (base, base + len);
        if let Some((&before, &len)) = self.by_base.range(..from).next_back()
            && before + len == from
        {
            self.remove(before, from);
            from = before;
        }
        if let Some(&len) = self.by_base.get(&until) {
            self.remove(until, until + len);
            until += len;
        }
        self.add(from, until);
    }

    /// Free entries in all.
    pub(super) fn total(&self) -> u32 {
        self.free
    }

    /// Length of the longest free run.
    pub(super) fn longest(&self) -> u32 {
        self.by_len.last().map_or(0, |&(len, _)| len)
    }

    /// A free run that overlaps `base..end`.
    fn overlapping(&self, base: u32, end: u32) -> Option<(u32, u32)> {
        let (&from, &len) = self.by_base.range(..end).next_back()?;
        (from + len > base && base < end).then_some((from, from + len))
    }

    fn add(&mut self, from: u32, until: u32) {
        if from < until {
            self.by_base.insert(from, until - from);
            self.by_len.insert((until - from, from));
            self.free += until - from;
        }
    }

    fn remove(&mut self, from: u32, until: u32) {
        self.by_base.remove(&from);
        self.by_len.remove(&(until - from, from));
        self.free -= until - from;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Extents;

    #[test]
    fn the_smallest_run_that_fits_is_used_and_neighbours_join() {
        let mut extents = Extents::new(100);
        assert_eq!(extents.allocate(10), Some(0));
        assert_eq!(extents.allocate(3), Some(10));
        assert_eq!(extents.allocate(10), Some(13));
        extents.free(10, 3);
        assert_eq!(extents.allocate(4), Some(23), "a hole of 3 is too small");
        assert_eq!(extents.allocate(2), Some(10), "and is the best fit for 2");
        extents.free(10, 2);
        extents.free(0, 10);
        extents.free(13, 10);
        extents.free(23, 4);
        assert_eq!(extents, Extents::new(100));
    }

    #[test]
    fn a_full_table_gives_nothing() {
        let mut extents = Extents::new(4);
        assert_eq!(extents.allocate(5), None);
        assert_eq!(extents.allocate(4), Some(0));
        assert_eq!(extents.allocate(1), None);
        assert_eq!((extents.total(), extents.longest()), (0, 0));
    }

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_comes_back(ops in prop::collection::vec((any::<bool>(), 1_u32..12), 0..80)) {
            let mut extents = Extents::new(64);
            let mut used = [false; 64];
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (allocate, n) in ops {
                if allocate {
                    if let Some(base) = extents.allocate(n) {
                        for slot in &mut used[base as usize..(base + n) as usize] {
                            prop_assert!(!*slot);
                            *slot = true;
                        }
                        held.push((base, n));
                    } else {
                        prop_assert!(extents.longest() < n);
                    }
                } else if !held.is_empty() {
                    let (base, len) = held.swap_remove(n as usize % held.len());
                    used[base as usize..(base + len) as usize].fill(false);
                    extents.free(base, len);
                }
                prop_assert_eq!(extents.total() as usize, used.iter().filter(|used| !**used).count());
            }
            for (base, len) in held {
                extents.free(base, len);
            }
            prop_assert_eq!(extents, Extents::new(64));
        }
    }
}
