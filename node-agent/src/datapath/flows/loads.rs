//! How many connections each backend has, counted from the tables, and the programs' own counts set right.
//!
//! The programs count up and down as connections begin and end. They don't see a flow end by time or by eviction, or a socket that is
//! closed while they are not attached.

use super::super::{
    Error,
    batches::Batches,
    pins::Pins,
    sys,
    tables::{MapFamily, convert, pinned, unreadable},
};
use aya::maps::{Array, MapData};
use kpr_abi::{Cookie, PeerValue};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
};

/// The counts of one family, while they are looked through.
pub(super) struct Loads<F: MapFamily> {
    told: Array<MapData, u64>,
    /// The same map, to read many entries at once.
    batches: OwnedFd,
    sockets: OwnedFd,
    /// What the programs had counted when the look began.
    before: Vec<u64>,
    found: BTreeMap<u32, u64>,
    family: std::marker::PhantomData<F>,
}

impl<F: MapFamily> Loads<F> {
    pub(super) fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            told: convert(F::LOADS, pinned(pins, F::LOADS)?)?,
            batches: sys::open_pin(&pins.map(F::LOADS)).map_err(unreadable(F::LOADS))?,
            sockets: sys::open_pin(&pins.map(F::SOCKETS)).map_err(unreadable(F::SOCKETS))?,
            before: Vec::new(),
            found: BTreeMap::new(),
            family: std::marker::PhantomData,
        })
    }

    /// Before the tables are read.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.before = self.told()?;
        self.found.clear();
        Ok(())
    }

    /// One connection to the backend was found. Id 0 is of flows that were refused.
    pub(super) fn add(&mut self, backend: u32) {
        if backend != 0 {
            *self.found.entry(backend).or_default() += 1;
        }
    }

    /// After the flows were read: reads the sockets, too, and corrects counts that neither were right before nor are now.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        let mut batches = Batches::<Cookie, PeerValue<F::Addr>>::of(self.sockets.as_fd());
        while let Some(entries) = batches.next().map_err(unreadable(F::SOCKETS))? {
            for (_, peer) in entries {
                *self.found.entry(peer.backend_id).or_default() += 1;
            }
        }
        for (id, (&before, now)) in (0..).zip(self.before.iter().zip(self.told()?)) {
            let found = self.found.get(&id).copied().unwrap_or(0);
            if is_wrong(before, now, found) {
                self.told.set(id, found, 0).map_err(error::<F>)?;
            }
        }
        Ok(())
    }

    fn told(&self) -> Result<Vec<u64>, Error> {
        let mut told = Vec::new();
        let mut batches = Batches::<u32, u64>::of(self.batches.as_fd());
        while let Some(entries) = batches.next().map_err(unreadable(F::LOADS))? {
            told.extend(entries.map(|(_, load)| *load));
        }
        Ok(told)
    }
}

/// Whether a count is none that there was while the tables were read: connections begin and end meanwhile.
fn is_wrong(before: u64, now: u64, found: u64) -> bool {
    found < before.min(now) || found > before.max(now)
}

fn error<F: MapFamily>(source: aya::maps::MapError) -> Error {
    Error::Map { map: F::LOADS, source }
}

#[cfg(test)]
mod tests {
    use super::is_wrong;

    #[test]
    fn a_count_is_right_if_it_was_at_some_time_of_the_look() {
        for (before, now, found, wrong) in [
            (3, 3, 3, false),
            (3, 3, 2, true),
            (3, 3, 4, true),
            (2, 5, 4, false),
            (5, 2, 4, false),
            (5, 2, 1, true),
            (0, 0, 0, false),
        ] {
            assert_eq!(is_wrong(before, now, found), wrong, "{before} {now} {found}");
        }
    }
}
