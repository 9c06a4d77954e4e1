//! What the programs tell, as long as somebody listens.

use super::{
    Error,
    tables::{convert, take},
};
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, RingBuf},
};
use kpr_abi::event::{self, Event, Wanted};
use std::{
    mem::size_of,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
};

/// Events of one load of the programs. Readable, for whoever polls it, when there are some.
pub struct Events {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    wanted: Array<MapData, Wanted>,
}

impl Events {
    /// Takes the maps out of the loaded object. Nothing is told before [`Self::want`].
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            ring: convert(event::EVENTS, take(ebpf, event::EVENTS)?)?,
            lost: convert(event::LOST, take(ebpf, event::LOST)?)?,
            wanted: convert(event::WANTED, take(ebpf, event::WANTED)?)?,
        })
    }

    /// Says which events are to be told, from now on.
    pub fn want(&mut self, wanted: Wanted) -> Result<(), Error> {
        let map = event::WANTED;
        self.wanted
            .set(0, wanted, 0)
            .map_err(|source| Error::Map { map, source })
    }

    /// How many events found no room so far, because those before them had not been read.
    pub fn lost(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |per_cpu| per_cpu.iter().sum())
    }
}

/// The events that wait. None: those that come later are still to come.
impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while let Some(item) = self.ring.next() {
            if item.len() >= size_of::<Event>() {
                // SAFETY: as many bytes as an event has, all of them integers: every pattern is a value.
                return Some(unsafe { ptr::read_unaligned(item.as_ptr().cast()) });
            }
        }
        None
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}
