//! Where sockets were led, as their hooks remember it.

use super::{
    Error,
    pins::Pins,
    tables::{MapFamily, convert},
};
use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use kpr_abi::{Be16, Cookie, PeerKey, PeerValue, V4, V6, socket};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// The memory of a family.
struct Table<F: MapFamily> {
    connected: HashMap<MapData, Cookie, PeerValue<F::Addr>>,
    /// Where sockets sent to; of connected ones those that an earlier version of the programs led.
    unconnected: HashMap<MapData, PeerKey<F::Addr>, PeerValue<F::Addr>>,
}

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
            v4: Table::open(&pins)?,
            v6: Table::open(&pins)?,
        })
    }

    /// Whether a service led the socket of this cookie to `backend`. An IPv4-mapped address counts as IPv4. The tables are LRU:
    /// where more sockets are in use than they have room for, some are forgotten.
    pub fn was_led(&self, cookie: u64, backend: SocketAddr) -> Result<bool, Error> {
        let port = backend.port();
        match backend.ip().to_canonical() {
            IpAddr::V4(addr) => self.v4.has(cookie, addr.into(), Be16::new(port)),
            IpAddr::V6(addr) => self.v6.has(cookie, addr.into(), Be16::new(port)),
        }
    }
}

impl<F: MapFamily> Table<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            connected: pinned(pins, F::SOCKETS)?,
            unconnected: pinned(pins, F::PEERS)?,
        })
    }

    fn has(&self, cookie: u64, addr: F::Addr, port: Be16) -> Result<bool, Error> {
        let cookie = socket::cookie(cookie);
        if let Some(peer) = get(F::SOCKETS, &self.connected, &cookie)? {
            return Ok(peer.backend == addr && peer.backend_port == port);
        }
        let key = PeerKey {
            cookie,
            addr,
            port,
            zero: 0,
        };
        Ok(get(F::PEERS, &self.unconnected, &key)?.is_some())
    }
}

fn pinned<T: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &'static str) -> Result<T, Error> {
    let error = |source: MapError| Error::Map { map: name, source };
    let data = MapData::from_pin(pins.map(name)).map_err(error)?;
    convert(name, Map::from_map_data(data).map_err(error)?)
}

fn get<K: Pod, V: Pod>(name: &'static str, map: &HashMap<MapData, K, V>, key: &K) -> Result<Option<V>, Error> {
    match map.get(key, 0) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(source) => Err(Error::Map { map: name, source }),
    }
}
