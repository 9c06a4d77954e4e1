//! An array, read and written many entries at a time (`BPF_MAP_LOOKUP_BATCH`, `BPF_MAP_UPDATE_BATCH`, Linux 5.6): Maglev tables have
//! thousands of slots, and clusters a hundred thousand backends.

use super::{Error, sys};
use aya::{
    Pod,
    maps::{Map, MapData},
};
use std::{io, marker::PhantomData, os::fd::AsFd as _};

/// Entries in a system call. The kernel copies them one by one, so that more at a time would gain nothing.
const CHUNK: usize = 4_096;

/// An array map of `V`.
pub(super) struct Array<V> {
    /// Programs that are not in the kernel yet name it by its descriptor: it must stay open.
    map: MapData,
    name: &'static str,
    len: u32,
    entries: PhantomData<V>,
}

impl<V: Pod + Default> Array<V> {
    pub(super) fn open(name: &'static str, map: Map) -> Result<Self, Error> {
        let Map::Array(data) = map else {
            return Err(Error::Missing(name));
        };
        let info = data.info().map_err(|source| Error::Map { map: name, source })?;
        Ok(Self {
            map: data,
            name,
            len: info.max_entries(),
            entries: PhantomData,
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Writes consecutive entries, the first one at `base`.
    pub(super) fn write(&self, base: u32, values: &[V]) -> Result<(), Error> {
        let mut from = base;
        for values in values.chunks(CHUNK) {
            let indices: Vec<u32> = (from..).take(values.len()).collect();
            self.write_at(&indices, values).1?;
            from = from.saturating_add(u32::try_from(values.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Writes `values[i]` at `indices[i]`, in this order. Returns how many were written.
    pub(super) fn write_at(&self, indices: &[u32], values: &[V]) -> (usize, Result<(), Error>) {
        let mut done = 0;
        for (indices, values) in indices.chunks(CHUNK).zip(values.chunks(CHUNK)) {
            let (written, result) = sys::update_batch(self.map.fd().as_fd(), indices, values);
            done += written;
            if let Err(source) = result {
                return (done, Err(self.error("write", source)));
            }
        }
        (done, Ok(()))
    }

    /// Reads consecutive entries, the first of which stands at `base`; fewer if the table ends before.
    pub(super) fn read(&self, base: u32, values: &mut [V]) -> Result<usize, Error> {
        let mut indices = [0_u32; CHUNK];
        // The kernel goes on after the index that it is given.
        let mut after = base.checked_sub(1);
        let mut done = 0;
        for values in values.chunks_mut(CHUNK) {
            let read = sys::lookup_batch(self.map.fd().as_fd(), &mut after, &mut indices[..values.len()], values)
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
