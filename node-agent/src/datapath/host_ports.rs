//! Which ports hostPorts have on any address of the node: a bit map beside the service map, kept by whoever writes that one.
//! A bit is set before the frontend is there, and cleared after it is gone: a bit too many costs packets a look-up, one too few
//! would hide a frontend.

use super::{
    Error,
    tables::{MapFamily, convert},
};
use aya::maps::{Array, Map, MapData, MapError};
use kpr_abi::{Address, ServiceKey, ServiceValue, host_port, service::flags};
use std::collections::{BTreeMap, BTreeSet};

/// The bit map of one family.
pub(super) struct HostPorts<F: MapFamily> {
    words: Array<MapData, u64>,
    /// The frontends that need a bit, by port.
    held: BTreeMap<u16, BTreeSet<ServiceKey<F::Addr>>>,
}

impl<F: MapFamily> HostPorts<F> {
    /// Nothing is held yet; the map keeps what it has until [`Self::restore`].
    pub(super) fn open(map: Map) -> Result<Self, Error> {
        Ok(Self {
            words: convert(F::HOST_PORTS, map)?,
            held: BTreeMap::new(),
        })
    }

    /// Makes the map fit these frontends, writing differences only; returns the number of writes.
    pub(super) fn restore(&mut self, services: &[(ServiceKey<F::Addr>, ServiceValue)]) -> Result<u64, MapError> {
        self.held.clear();
        for (key, _) in services.iter().filter(|(key, value)| needs_bit(key, value)) {
            self.held.entry(key.port.host()).or_default().insert(*key);
        }
        let mut writes = 0;
        for word in 0..host_port::WORDS {
            let wanted = self.word(word);
            if self.words.get(&word, 0)? != wanted {
                self.words.set(word, wanted, 0)?;
                writes += 1;
            }
        }
        Ok(writes)
    }

    /// Before a frontend is written.
    pub(super) fn before_put(&mut self, key: &ServiceKey<F::Addr>, value: &ServiceValue) -> Result<u64, MapError> {
        if !needs_bit(key, value) {
            return Ok(0);
        }
        let port = key.port.host();
        let is_first = !self.held.contains_key(&port);
        self.held.entry(port).or_default().insert(*key);
        if is_first { self.write(port) } else { Ok(0) }
    }

    /// After a frontend was written.
    pub(super) fn after_put(&mut self, key: &ServiceKey<F::Addr>, value: &ServiceValue) -> Result<u64, MapError> {
        if needs_bit(key, value) {
            return Ok(0);
        }
        self.after_delete(key)
    }

    /// After a frontend was deleted.
    pub(super) fn after_delete(&mut self, key: &ServiceKey<F::Addr>) -> Result<u64, MapError> {
        let port = key.port.host();
        let Some(keys) = self.held.get_mut(&port) else {
            return Ok(0);
        };
        keys.remove(key);
        if !keys.is_empty() {
            return Ok(0);
        }
        self.held.remove(&port);
        self.write(port)
    }

    fn write(&mut self, port: u16) -> Result<u64, MapError> {
        let (word, _) = host_port::place(port);
        self.words.set(word, self.word(word), 0)?;
        Ok(1)
    }

    /// A word as it should be.
    fn word(&self, word: u32) -> u64 {
        let ports = self.held.keys().map(|&port| host_port::place(port));
        ports.filter(|&(at, _)| at == word).fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// A frontend with an address of its own is found without.
fn needs_bit<A: Address>(key: &ServiceKey<A>, value: &ServiceValue) -> bool {
    key.addr == A::ANY && value.flags & flags::HOST_PORT != 0
}
