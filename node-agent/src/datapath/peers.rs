//! Where sockets were led, as their hooks remember it.

use super::{
    Error,
    pins::Pins,
    tables::{MapFamily, convert},
};
use aya::maps::{HashMap, Map, MapData, MapError};
use kpr_abi::{Be16, PeerKey, PeerValue, V4, V6};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

type Table<F> = HashMap<MapData, PeerKey<<F as kpr_abi::Family>::Addr>, PeerValue<<F as kpr_abi::Family>::Addr>>;

/// The memory of both families, to read. It holds on to the maps that are pinned when it is opened.
pub struct Peers {
    v4: Table<V4>,
    v6: Table<V6>,
}

impl Peers {
    /// Opens the maps pinned under `bpffs_root`.
    pub fn open(bpffs_root: &Path) -> Result<Self, Error> {
        let pins = Pins::new(bpffs_root);
        Ok(Self {
            v4: table::<V4>(&pins)?,
            v6: table::<V6>(&pins)?,
        })
    }

    /// Whether a service led the socket of this cookie to `backend`. An IPv4-mapped address counts as IPv4. The table is LRU:
    /// where many sockets are in use, it may have forgotten one that was not.
    pub fn was_led(&self, cookie: u64, backend: SocketAddr) -> Result<bool, Error> {
        let port = backend.port();
        match backend.ip().to_canonical() {
            IpAddr::V4(addr) => has::<V4>(&self.v4, cookie, addr.into(), port),
            IpAddr::V6(addr) => has::<V6>(&self.v6, cookie, addr.into(), port),
        }
    }
}

fn table<F: MapFamily>(pins: &Pins) -> Result<Table<F>, Error> {
    let error = |source: MapError| Error::Map { map: F::PEERS, source };
    let data = MapData::from_pin(pins.map(F::PEERS)).map_err(error)?;
    convert(F::PEERS, Map::from_map_data(data).map_err(error)?)
}

fn has<F: MapFamily>(table: &Table<F>, cookie: u64, addr: F::Addr, port: u16) -> Result<bool, Error> {
    let word = |shift: u32| u32::try_from(cookie >> shift & u64::from(u32::MAX)).unwrap_or_default();
    let key = PeerKey {
        cookie: [word(0), word(32)],
        addr,
        port: Be16::new(port),
        zero: 0,
    };
    match table.get(&key, 0) {
        Ok(_) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(source) => Err(Error::Map { map: F::PEERS, source }),
    }
}
