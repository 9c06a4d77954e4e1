//! Reads pinned maps without an agent: what the kernel uses, whoever wrote it.

mod affinity;
mod attachments;
mod backends;
mod cgroup;
mod maps;

use super::{
    Error,
    pins::Pins,
    sys,
    tables::{Contents, MapFamily, ServiceTables, unreadable},
};
use aya::maps::{Map, MapData, MapError};
use kpr_abi::{V4, V6};
use std::{os::fd::OwnedFd, path::Path};

pub use affinity::{Client, affinity, own_netns};
pub use attachments::{AttachedProgram, attachments};
pub use backends::{LoadedBackend, backends};
pub use cgroup::socket_cgroup;
pub use maps::{PinnedMap, maps};

/// The IPv4 frontends, slots and backends pinned under `bpffs_root`; `None` if no datapath is there.
pub fn services4(bpffs_root: &Path) -> Result<Option<Contents<V4>>, Error> {
    services::<V4>(bpffs_root)
}

/// The IPv6 frontends, slots and backends pinned under `bpffs_root`; `None` if no datapath is there.
pub fn services6(bpffs_root: &Path) -> Result<Option<Contents<V6>>, Error> {
    services::<V6>(bpffs_root)
}

fn services<F: MapFamily>(bpffs_root: &Path) -> Result<Option<Contents<F>>, Error> {
    tables::<F>(bpffs_root)?.map(|tables| tables.contents()).transpose()
}

fn tables<F: MapFamily>(bpffs_root: &Path) -> Result<Option<ServiceTables<F>>, Error> {
    let pins = Pins::new(bpffs_root);
    if !pins.map(F::SERVICES).exists() {
        return Ok(None);
    }
    ServiceTables::<F>::open(|name| {
        let data = MapData::from_pin(pins.map(name)).map_err(|source| Error::Map { map: name, source })?;
        Map::from_map_data(data).map_err(|source: MapError| Error::Map { map: name, source })
    })
    .map(Some)
}

/// Opens a map to read many entries at once; none if it is not pinned.
fn open(bpffs_root: &Path, map: &'static str) -> Result<Option<OwnedFd>, Error> {
    let pin = Pins::new(bpffs_root).map(map);
    if !pin.exists() {
        return Ok(None);
    }
    sys::open_pin(&pin).map(Some).map_err(unreadable(map))
}
