//! The slot table of a family, read and written many slots at a time: Maglev tables have thousands.

use super::{Error, sys};
use aya::maps::{Map, MapData};
use std::{io, os::fd::AsFd as _};

/// Slots in a system call. The kernel copies them one by one, so that more at a time would gain nothing.
const CHUNK: usize = 4_096;

/// The array of backend ids.
pub(super) struct Slots {
    /// Programs that are not in the kernel yet name it by its descriptor: it must stay open.
    map: MapData,
    name: &'static str,
    len: u32,
}

impl Slots {
    pub(super) fn open(name: &'static str, map: Map) -> Result<Self, Error> {
        let Map::Array(data) = map else {
            return Err(Error::Missing(name));
        };
        let info = data.info().map_err(|source| Error::Map { map: name, source })?;
        Ok(Self {
            map: data,
            name,
            len: info.max_entries(),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Writes consecutive slots, the first one at `base`.
    pub(super) fn write(&self, base: u32, ids: &[u32]) -> Result<(), Error> {
        let mut from = base;
        for ids in ids.chunks(CHUNK) {
            let indices: Vec<u32> = (from..).take(ids.len()).collect();
            sys::update_batch(self.map.fd().as_fd(), &indices, ids).map_err(|source| self.error("write", source))?;
            from = from.saturating_add(u32::try_from(ids.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Reads consecutive slots, the first of which stands at `base`; fewer if the table ends before.
    pub(super) fn read(&self, base: u32, ids: &mut [u32]) -> Result<usize, Error> {
        let mut indices = [0_u32; CHUNK];
        // The kernel goes on after the index that it is given.
        let mut after = base.checked_sub(1);
        let mut done = 0;
        for ids in ids.chunks_mut(CHUNK) {
            let read = sys::lookup_batch(self.map.fd().as_fd(), &mut after, &mut indices[..ids.len()], ids)
                .map_err(|source| self.error("read", source))?;
            done += read.count;
            if read.last {
                break;
            }
        }
        Ok(done)
    }

    fn error(&self, verb: &str, source: io::Error) -> Error {
        Error::Io {
            what: format!("{verb} the map {}", self.name),
            source,
        }
    }
}
