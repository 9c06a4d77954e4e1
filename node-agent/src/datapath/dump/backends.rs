//! Every backend that the maps hold, also those that no frontend leads to any more.

use super::{
    super::{Error, batches::Batches, tables::MapFamily},
    open, tables, unreadable,
};
use kpr_abi::BackendValue;
use std::{os::fd::AsFd as _, path::Path};

/// A backend and its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedBackend<A> {
    /// Its id.
    pub id: u32,
    /// As it stands in the map.
    pub value: BackendValue<A>,
    /// How many connections the programs have counted.
    pub load: u64,
}

/// The backends of a family pinned under `bpffs_root`, by id; `None` if no datapath is there.
pub fn backends<F: MapFamily>(bpffs_root: &Path) -> Result<Option<Vec<LoadedBackend<F::Addr>>>, Error> {
    let Some(tables) = tables::<F>(bpffs_root)? else {
        return Ok(None);
    };
    let mut values = vec![BackendValue::default(); tables.backends.len() as usize];
    tables.backends.read(0, &mut values)?;
    let mut loads = Vec::new();
    // Agents before least connections made no such map.
    if let Some(map) = open(bpffs_root, F::LOADS)? {
        let mut batches = Batches::<u32, u64>::of(map.as_fd());
        while let Some(entries) = batches.next().map_err(unreadable(F::LOADS))? {
            loads.extend(entries.map(|(_, load)| *load));
        }
    }
    let used = (0..).zip(values).filter(|(_, value)| value.proto != 0);
    let backend = |(id, value): (u32, BackendValue<F::Addr>)| LoadedBackend {
        id,
        value,
        load: loads.get(id as usize).copied().unwrap_or_default(),
    };
    Ok(Some(used.map(backend).collect()))
}
