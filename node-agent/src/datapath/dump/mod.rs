//! Reads pinned maps without an agent: what the kernel uses, whoever wrote it.

use super::{
    Error,
    pins::Pins,
    tables::{Contents, MapFamily, ServiceTables},
};
use aya::maps::{Map, MapData, MapError};
use kpr_abi::{V4, V6};
use std::path::Path;

/// The IPv4 frontends, slots and backends pinned under `bpffs_root`; `None` if no datapath is there.
pub fn services4(bpffs_root: &Path) -> Result<Option<Contents<V4>>, Error> {
    services::<V4>(bpffs_root)
}

/// The IPv6 frontends, slots and backends pinned under `bpffs_root`; `None` if no datapath is there.
pub fn services6(bpffs_root: &Path) -> Result<Option<Contents<V6>>, Error> {
    services::<V6>(bpffs_root)
}

fn services<F: MapFamily>(bpffs_root: &Path) -> Result<Option<Contents<F>>, Error> {
    let pins = Pins::new(bpffs_root);
    if !pins.map(F::SERVICES).exists() {
        return Ok(None);
    }
    let tables = ServiceTables::<F>::open(|name| {
        let data = MapData::from_pin(pins.map(name)).map_err(|source| Error::Map { map: name, source })?;
        Map::from_map_data(data).map_err(|source: MapError| Error::Map { map: name, source })
    })?;
    tables.contents().map(Some)
}
