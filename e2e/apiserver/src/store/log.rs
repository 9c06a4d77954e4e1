//! The bounded history that watches and paged lists read.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::resource::ObjectKey;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: ObjectKey,
    pub(crate) kind: ChangeKind,
    /// The object after the write; for a deletion its last state, with the revision of the deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) before: Option<Arc<Value>>,
}

/// The last `capacity` changes.
#[derive(Debug)]
pub(crate) struct Log {
    changes: VecDeque<Change>,
    capacity: usize,
    /// History up to and including this revision is gone.
    compacted: u64,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            changes: VecDeque::new(),
            capacity: capacity.max(1),
            compacted: 0,
        }
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.changes.len() == self.capacity
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.revision;
        }
        self.changes.push_back(change);
    }

    pub(super) fn compact(&mut self, revision: u64) {
        self.compacted = revision;
        self.changes.clear();
    }

    /// The newest revision that can no longer be asked for.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The changes after `revision`; `None` if some of them are gone.
    pub(crate) fn since(&self, revision: u64) -> Option<impl DoubleEndedIterator<Item = &Change>> {
        if revision < self.compacted {
            return None;
        }
        let start = self.changes.partition_point(|change| change.revision <= revision);
        Some(self.changes.range(start..))
    }
}
