//! What is written into consecutive slots.

use std::{borrow::Cow, sync::Arc};

use kpr_abi::TableSize;

use crate::maglev::{self, Member};

/// What a run of slots holds: backend ids in ascending order, and behind them their Maglev table, if they have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    pub(super) ids: Arc<[u32]>,
    /// Never with fewer than two ids: see [`kpr_abi::maglev`].
    pub(super) table: Option<TableSize>,
}

impl List {
    pub(super) fn new(ids: impl Into<Arc<[u32]>>, table: Option<TableSize>) -> Self {
        let ids = ids.into();
        let table = table.filter(|_| ids.len() > 1);
        Self { ids, table }
    }

    /// How many slots it takes.
    pub(super) fn slots(&self) -> u32 {
        let ids = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        ids.saturating_add(self.table.map_or(0, TableSize::slots))
    }
}

/// A list of backends, and what its Maglev table is made from. The table itself is made when it is written: a thousand of them are 64 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRun {
    list: List,
    /// In the order of the ids; empty without a table.
    members: Arc<[Member]>,
}

impl SlotRun {
    /// Backend ids in ascending order, without a table.
    pub fn list(ids: impl Into<Arc<[u32]>>) -> Self {
        Self {
            list: List::new(ids, None),
            members: Arc::new([]),
        }
    }

    /// Backends in ascending order of their ids, and their table, which a list of one has no use for.
    pub fn with_table(size: TableSize, backends: impl IntoIterator<Item = (u32, Member)>) -> Self {
        let (ids, members): (Vec<_>, Vec<_>) = backends.into_iter().unzip();
        let list = List::new(ids, Some(size));
        let members = if list.table.is_some() { members } else { Vec::new() };
        let members = members.into();
        Self { list, members }
    }

    /// The backends, without the table.
    pub fn ids(&self) -> &[u32] {
        &self.list.ids
    }

    /// Whether a Maglev table stands behind the list.
    pub fn has_table(&self) -> bool {
        self.list.table.is_some()
    }

    /// What is written, slot by slot. Fills the table.
    pub fn slots(&self) -> Cow<'_, [u32]> {
        let ids = self.ids();
        let Some(size) = self.list.table else {
            return Cow::Borrowed(ids);
        };
        let table = maglev::fill(size, &self.members);
        let mut slots = Vec::with_capacity(ids.len() + table.len());
        slots.extend(ids);
        slots.extend(table.into_iter().map(|member| ids[member as usize]));
        Cow::Owned(slots)
    }

    pub(super) fn content(&self) -> &List {
        &self.list
    }
}
