//! What test clusters leave on a machine when something goes wrong: looked for before and after the tests.
//!
//! Everything that a cluster takes bears a name that begins with `kpr-` and its id, and every cluster has a directory
//! below `/run/kpr-e2e` that names the process it belongs to.

mod cluster;
mod scan;

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use self::scan::Item;

/// The kernel removes namespaces and cgroups a little after the last process in them has ended.
const SETTLE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);

/// What is on the machine by the names that kpr uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftovers {
    items: BTreeSet<Item>,
}

impl Leftovers {
    /// What is there now, but for clusters that belong to a living process: somebody else's demo.
    pub(super) fn find() -> Self {
        let living = cluster::living();
        Self {
            items: scan::all()
                .into_iter()
                .filter(|item| !item.belongs_to_any(&living))
                .collect(),
        }
    }

    /// What is there now and was not there before, once it has stopped to become less or some seconds have passed.
    pub(super) fn settle(before: &Self) -> Self {
        let deadline = Instant::now() + SETTLE;
        loop {
            let left = Self::find().new_since(before);
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(POLL);
        }
    }

    /// Those that were not there before.
    pub(super) fn new_since(&self, before: &Self) -> Self {
        Self {
            items: self.items.difference(&before.items).cloned().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Leftovers {
        Leftovers {
            items: names.iter().map(|name| Item::netns(name)).collect(),
        }
    }

    #[test]
    fn what_was_there_before_is_not_held_against_the_run() {
        let left = found(&["kpr-aaaa-node-a", "kpr-bbbb-node-a"]).new_since(&found(&["kpr-aaaa-node-a"]));
        let names: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["network namespace kpr-bbbb-node-a"]);
    }

    #[test]
    fn what_has_gone_meanwhile_does_not_matter() {
        assert!(found(&[]).new_since(&found(&["kpr-aaaa-node-a"])).is_empty());
    }
}
