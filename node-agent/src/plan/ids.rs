//! Free backend ids, lowest first.

use std::collections::BTreeSet;

/// Ids from 1 up to a limit, and which of them are free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    /// Free ids below `fresh`.
    holes: BTreeSet<u32>,
    /// The least id that was never taken.
    fresh: u32,
    /// The first id that does not exist.
    limit: u32,
}

impl Ids {
    /// All ids of a table with `limit` entries are free; 0 is none.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            holes: BTreeSet::new(),
            fresh: 1,
            limit,
        }
    }

    /// The lowest free id that is at least `from`.
    pub(super) fn at_least(&self, from: u32) -> Option<u32> {
        let hole = self.holes.range(from..).next().copied();
        hole.or_else(|| Some(self.fresh.max(from)).filter(|&id| id < self.limit))
    }

    /// Takes an id out.
    pub(super) fn take(&mut self, id: u32) {
        if id >= self.fresh {
            self.holes.extend(self.fresh..id);
            self.fresh = id + 1;
        } else {
            self.holes.remove(&id);
        }
    }

    /// Gives an id back.
    pub(super) fn free(&mut self, id: u32) {
        if id < self.fresh {
            self.holes.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn the_lowest_free_id_comes_first_and_zero_never() {
        let mut ids = Ids::new(5);
        assert_eq!(ids.at_least(0), Some(1));
        ids.take(1);
        ids.take(3);
        assert_eq!(ids.at_least(0), Some(2));
        assert_eq!(ids.at_least(3), Some(4));
        ids.take(2);
        ids.take(4);
        assert_eq!(ids.at_least(0), None);
        ids.free(3);
        assert_eq!(ids.at_least(0), Some(3));
    }
}
