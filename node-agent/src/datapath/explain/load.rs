//! Loads the programs that explain: on the maps of the node that decide, and on others for what they write.

use super::{
    super::{
        Error,
        load::pinned_capacity,
        object::{self, Extras},
        pins::Pins,
        variants::load_program,
        verify,
    },
    live::Live,
};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};
use kpr_abi::{event, maps};

/// Maps that programs only read: the node's own.
const SHARED: [&str; 14] = [
    maps::SERVICES4,
    maps::SLOTS4,
    maps::BACKENDS4,
    maps::LOCAL4,
    maps::SNAT_SOURCE4,
    maps::SOURCE_RANGES4,
    maps::FILTER4,
    maps::SERVICES6,
    maps::SLOTS6,
    maps::BACKENDS6,
    maps::LOCAL6,
    maps::SNAT_SOURCE6,
    maps::SOURCE_RANGES6,
    maps::FILTER6,
];

/// Room for copies of the entries that concern a packet: all flows to one backend that has used up its source ports, and more.
const FLOWS: u32 = 1 << 16;
/// The same of clients and sockets, which are few.
const FEW: u32 = 1_024;
/// Bytes of events that wait for being read.
const EVENTS: u32 = 1 << 16;

/// What is asked while explaining counts for no Service, and costs nobody's packets.
const EXTRAS: Extras = Extras {
    events: true,
    counts: false,
};

/// Loads the object; its programs are loaded when they are asked ([`program`]).
pub(super) fn load(pins: &Pins, live: &Live) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    for (name, bytes) in live.constants() {
        loader.override_global(name, bytes, true);
    }
    for name in SHARED {
        let pin = pins.map(name);
        // Made here, and pinned, if it were not there.
        let capacity = pinned_capacity(name, &pin)?.ok_or(Error::NotLive)?;
        loader.map_max_entries(name, capacity).map_pin_path(name, pin);
    }
    for (name, entries) in [
        (maps::FLOWS4, FLOWS),
        (maps::FLOWS6, FLOWS),
        (maps::FRAGMENTS4, FEW),
        (maps::FRAGMENTS6, FEW),
        (maps::AFFINITY4, FEW),
        (maps::AFFINITY6, FEW),
        (maps::SOCKETS4, FEW),
        (maps::SOCKETS6, FEW),
        (maps::PEERS4, FEW),
        (maps::PEERS6, FEW),
        (event::EVENTS, EVENTS),
    ] {
        loader.map_max_entries(name, entries);
    }
    for (loads, backends) in [(maps::LOADS4, maps::BACKENDS4), (maps::LOADS6, maps::BACKENDS6)] {
        let capacity = pinned_capacity(backends, &pins.map(backends))?.ok_or(Error::NotLive)?;
        loader.map_max_entries(loads, capacity);
    }
    Ok(loader.load(object::bytes(EXTRAS)?)?)
}

/// The program of this name, loaded.
pub(super) fn program<'e, P>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e P, Error>
where
    &'e P: TryFrom<&'e Program, Error = ProgramError>,
{
    let failed = |what| {
        move |source: ProgramError| Error::Program {
            what,
            program: name,
            source,
        }
    };
    let program = ebpf.program_mut(name).ok_or(Error::Missing(name))?;
    if program.fd().is_err() {
        verify::load(|| load_program(program)).map_err(failed("load"))?;
    }
    (&*program).try_into().map_err(failed("find"))
}
