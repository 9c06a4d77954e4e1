//! The filter before the service map, which tells most packets that they are for no frontend: kept by whoever writes that map. A bit
//! is set before the first frontend is there that has it, and cleared after the last one is gone.

use super::{Error, array::Array, tables::MapFamily};
use aya::maps::Map;
use kpr_abi::{ServiceKey, ServiceValue, filter};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The filter of one family.
pub(super) struct Filter<F: MapFamily> {
    map: Array<u32>,
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
            map: Array::open(F::FILTER, map)?,
            words: vec![0; filter::WORDS as usize],
            held: HashSet::new(),
            users: HashMap::new(),
        })
    }

    /// Makes the map fit these frontends, which the service map holds, and returns how many words were others.
    pub(super) fn restore(&mut self, services: &[(ServiceKey<F::Addr>, ServiceValue)]) -> Result<u64, Error> {
        self.held = services.iter().map(|(key, _)| *key).collect();
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
        self.before_puts([key])
    }

    /// The same for many, all of whose bits are there when this returns.
    pub(super) fn before_puts<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k ServiceKey<F::Addr>>,
    ) -> Result<u64, Error> {
        let new: Vec<_> = keys.into_iter().filter(|key| self.held.insert(**key)).collect();
        let mut changed = BTreeSet::new();
        for (word, bit) in new.iter().map(|key| filter::place(key)) {
            let users = self.users.entry((word, bit)).or_default();
            *users += 1;
            if *users == 1 {
                self.words[word as usize] |= bit;
                changed.insert(word);
            }
        }
        let indices: Vec<u32> = changed.into_iter().collect();
        let words: Vec<u32> = indices.iter().map(|&index| self.words[index as usize]).collect();
        let written = self.map.write_at(&indices, &words).1;
        if let Err(error) = written {
            // The next try is to write them again. Bits that were written meanwhile hide nothing.
            for key in new {
                self.forget(key);
            }
            return Err(error);
        }
        Ok(indices.len() as u64)
    }

    /// After a frontend was deleted. Returns the number of writes.
    pub(super) fn after_delete(&mut self, key: &ServiceKey<F::Addr>) -> Result<u64, Error> {
        let Some(word) = self.forget(key) else {
            return Ok(0);
        };
        self.map.write(word, &[self.words[word as usize]])?;
        Ok(1)
    }

    /// Takes a frontend out; the word that has lost a bit by that.
    fn forget(&mut self, key: &ServiceKey<F::Addr>) -> Option<u32> {
        if !self.held.remove(key) {
            return None;
        }
        let (word, bit) = filter::place(key);
        let users = self.users.get_mut(&(word, bit))?;
        *users -= 1;
        if *users != 0 {
            return None;
        }
        self.users.remove(&(word, bit));
        self.words[word as usize] &= !bit;
        Some(word)
    }
}
