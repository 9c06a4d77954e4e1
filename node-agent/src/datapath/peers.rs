//! Where sockets were led, as their hooks remember it.

use super::{
    Error,
    pins::Pins,
    tables::{MapFamily, convert, look_up, pinned},
};
use aya::maps::{HashMap, MapData};
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
            connected: convert(F::SOCKETS, pinned(pins, F::SOCKETS)?)?,
            unconnected: convert(F::PEERS, pinned(pins, F::PEERS)?)?,
        })
    }

    fn has(&self, cookie: u64, addr: F::Addr, port: Be16) -> Result<bool, Error> {
        let cookie = socket::cookie(cookie);
        if let Some(peer) = look_up(F::SOCKETS, &self.connected, &cookie)? {
            return Ok(peer.backend == addr && peer.backend_port == port);
        }
        let key = PeerKey {
            cookie,
            addr,
            port,
            zero: 0,
        };
        Ok(look_up(F::PEERS, &self.unconnected, &key)?.is_some())
    }
}
