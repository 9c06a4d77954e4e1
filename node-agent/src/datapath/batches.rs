//! Reads a hash map bucket by bucket, many entries with one system call (`BPF_MAP_LOOKUP_BATCH`, for LRU hashes since Linux 5.6).
//!
//! Reading key after key (`BPF_MAP_GET_NEXT_KEY`) costs two calls for each entry, and starts over when the key that it stands on
//! is evicted. Here every entry that stays where it is while the map is read is seen exactly once.

use super::sys;
use aya::Pod;
use std::{io, marker::PhantomData, os::fd::BorrowedFd};

/// Entries in a call. A bucket is read whole: this many must have room for the fullest one, which has a few.
const ENTRIES: usize = 4_096;

/// A walk through a map.
pub(super) struct Batches<'m, K, V> {
    map: BorrowedFd<'m>,
    keys: Vec<K>,
    values: Vec<V>,
    /// The bucket to go on with, as the kernel said; none before the first call.
    bucket: Option<u32>,
    ended: bool,
    entry: PhantomData<(K, V)>,
}

impl<'m, K: Pod + Default, V: Pod + Default> Batches<'m, K, V> {
    /// From the first bucket on. `K` and `V` have the sizes that the map was made with.
    pub(super) fn of(map: BorrowedFd<'m>) -> Self {
        Self {
            map,
            keys: vec![K::default(); ENTRIES],
            values: vec![V::default(); ENTRIES],
            bucket: None,
            ended: false,
            entry: PhantomData,
        }
    }

    /// The next entries; none after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<impl Iterator<Item = (&K, &V)>>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            match sys::lookup_batch(self.map, &mut self.bucket, &mut self.keys, &mut self.values) {
                Ok(read) => {
                    self.ended = read.last;
                    let read = read.count.min(self.keys.len());
                    return Ok(Some(self.keys[..read].iter().zip(&self.values[..read])));
                }
                // A bucket that is fuller than the buffer.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    let more = self.keys.len() * 2;
                    self.keys.resize(more, K::default());
                    self.values.resize(more, V::default());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
