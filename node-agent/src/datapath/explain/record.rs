//! What the programs tell of the packet or call that they were run on.

use super::super::{
    Error, Events,
    tables::{convert, nothing_on_each_cpu, take},
};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use kpr_abi::{
    Event, Reason,
    event::{self, Wanted},
};

/// The record of each CPU's packet, and the events that were counted with it.
pub(super) struct Record {
    packet: PerCpuArray<MapData, Event>,
    events: Events,
}

impl Record {
    /// Takes the maps, and has everything told.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let packet = convert(event::RECORD, take(ebpf, event::RECORD)?)?;
        let mut events = Events::open(ebpf)?;
        events.want(Wanted::ALL)?;
        Ok(Self { packet, events })
    }

    /// Before a run: nothing is told.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        let none = nothing_on_each_cpu(event::RECORD)?;
        self.packet.set(0, none, 0).map_err(failed)?;
        self.events.by_ref().for_each(drop);
        Ok(())
    }

    /// After the run of a packet program: its record, on whichever CPU it ran, and the reasons that it counted, in their order.
    pub(super) fn of_packet(&mut self) -> Result<(Event, Vec<Reason>), Error> {
        let records = self.packet.get(&0, 0).map_err(failed)?;
        let ran = records.iter().find(|record| record.hook != 0).copied();
        Ok((ran.unwrap_or_default(), self.reasons()))
    }

    /// After the run of a call: what was told of it, if it was for a frontend.
    pub(super) fn of_call(&mut self) -> Option<(Event, Vec<Reason>)> {
        let event = self.events.by_ref().last()?;
        Some((
            event,
            Reason::ALL.get(event.what as usize).copied().into_iter().collect(),
        ))
    }

    fn reasons(&mut self) -> Vec<Reason> {
        let told = self.events.by_ref().map(|event| event.what);
        told.filter_map(|what| Reason::ALL.get(what as usize).copied())
            .collect()
    }
}

fn failed(source: aya::maps::MapError) -> Error {
    Error::Map {
        map: event::RECORD,
        source,
    }
}
