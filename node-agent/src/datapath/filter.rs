//! The filter before the service map, which tells most packets that they are for no frontend: kept by whoever writes that map. A bit
//! is set before the first frontend is there that has it, and cleared after the last one is gone.

use super::{Error, slots::Slots, tables::MapFamily};
use aya::maps::Map;
use kpr_abi::{ServiceKey, filter};
use std::collections::{HashMap, HashSet};

/// The filter of one family.
pub(super) struct Filter<F: MapFamily> {
    map: Slots,
    /// What the map holds.
    words: Vec<u32>,
    /// The frontends that there are.
    held: HashSet<ServiceKey<F::Addr>>,
    /// How many of them have a bit, by word and bit.
    users: HashMap<(u32, u32), u32>,
}

impl<F: MapFamily> Filter<F> {
    /// Nothing is held yet; the map keeps what it has until [`Self::restore`].
    pub(super) fn open(map: Map) -> Result<Self, Error> {
        Ok(Self {
            map: Slots::open(F::FILTER, map)?,
            words: vec![0; filter::WORDS as usize],
            held: HashSet::new(),
            users: HashMap::new(),
        })
    }

    /// Makes the map fit these frontends, which the service map holds, and returns how many words were others.
    pub(super) fn restore(&mut self, keys: impl Iterator<Item = ServiceKey<F::Addr>>) -> Result<u64, Error> {
        self.held = keys.collect();
        self.users.clear();
        let mut wanted = vec![0; self.words.len()];
        for key in &self.held {
            let (word, bit) = filter::place(key);
            wanted[word as usize] |= bit;
            *self.users.entry((word, bit)).or_default() += 1;
        }
        self.map.read(0, &mut self.words)?;
        let others = self
            .words
            .iter()
            .zip(&wanted)
            .filter(|(is, wanted)| is != wanted)
            .count();
        if others != 0 {
            self.map.write(0, &wanted)?;
        }
        self.words = wanted;
        Ok(others as u64)
    }

    /// Before a frontend is written. Returns the number of writes.
    pub(super) fn before_put(&mut self, key: &ServiceKey<F::Addr>) -> Result<u64, Error> {
        if self.held.contains(key) {
            return Ok(0);
        }
        let (word, bit) = filter::place(key);
        let writes = if self.users.contains_key(&(word, bit)) {
            0
        } else {
            self.write(word, |bits| bits | bit)?
        };
        *self.users.entry((word, bit)).or_default() += 1;
        self.held.insert(*key);
        Ok(writes)
    }

    /// After a frontend was deleted. Returns the number of writes.
    pub(super) fn after_delete(&mut self, key: &ServiceKey<F::Addr>) -> Result<u64, Error> {
        if !self.held.remove(key) {
            return Ok(0);
        }
        let (word, bit) = filter::place(key);
        let users = self.users.entry((word, bit)).or_default();
        *users = users.saturating_sub(1);
        if *users != 0 {
            return Ok(0);
        }
        self.users.remove(&(word, bit));
        self.write(word, |bits| bits & !bit)
    }

    fn write(&mut self, word: u32, change: impl Fn(u32) -> u32) -> Result<u64, Error> {
        let Some(bits) = self.words.get_mut(word as usize) else {
            return Ok(0);
        };
        *bits = change(*bits);
        self.map.write(word, &[*bits])?;
        Ok(1)
    }
}
