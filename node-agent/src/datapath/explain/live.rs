//! The programs that run on this node, found by their maps: with which read-only data.

use super::super::{
    Error,
    object::{self, Extras},
    pins::Pins,
    sys, xdp,
};
use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use aya::{
    maps::MapInfo,
    programs::{ProgramInfo, loaded_programs},
};
use kpr_abi::{config, event, maps};
use std::{collections::BTreeMap, os::fd::AsFd as _};

/// The program that every node has.
const PROGRAM: &str = "kpr_ingress";
/// The section, and the map, of read-only data.
const READ_ONLY: &str = ".rodata";

/// What the programs that run were specialised for.
pub(super) struct Live {
    constants: BTreeMap<&'static str, Vec<u8>>,
    /// The maps of the XDP program, by name.
    xdp_maps: BTreeMap<String, u32>,
}

impl Live {
    /// Of the youngest programs that have the pinned table of flows: those before them are on their way out. (Programs that explain have
    /// a table of their own.)
    pub(super) fn find(pins: &Pins) -> Result<Self, Error> {
        let flows = MapInfo::from_pin(pins.map(maps::FLOWS4)).map_err(|source| Error::Map {
            map: maps::FLOWS4,
            source,
        })?;
        let has_flows = |info: &ProgramInfo| map_ids(info).is_some_and(|ids| ids.contains(&flows.id()));
        // Programs of others come and go while they are looked through.
        let programs: Vec<_> = loaded_programs().filter_map(Result::ok).filter(has_flows).collect();
        let youngest = |name| {
            let named = programs.iter().filter(|info| info.name_as_str() == Some(name));
            named.max_by_key(|info| info.id())
        };
        let xdp_maps = youngest(xdp::PROGRAM).and_then(map_ids).unwrap_or_default();
        let youngest = youngest(PROGRAM).ok_or(Error::NotLive)?;
        let mut extras = Extras {
            events: false,
            counts: false,
        };
        let mut read_only = None;
        for id in map_ids(youngest).unwrap_or_default() {
            let Ok(info) = MapInfo::from_id(id) else { continue };
            match info.name_as_str() {
                Some(event::RECORD) => extras.events = true,
                Some(maps::SERVICE_COUNTS4) => extras.counts = true,
                Some(READ_ONLY) => read_only = Some(info),
                _ => {}
            }
        }
        let read_only = read_only.ok_or(Error::NotLive)?;
        let mut data = vec![0; read_only.value_size() as usize];
        let map = sys::map_by_id(read_only.id()).map_err(unreadable)?;
        sys::lookup_bytes(map.as_fd(), 0, &mut data).map_err(unreadable)?;
        Ok(Self {
            constants: constants(object::bytes(extras)?, &data)?,
            xdp_maps: xdp_maps
                .into_iter()
                .filter_map(|id| Some((MapInfo::from_id(id).ok()?.name_as_str()?.to_owned(), id)))
                .collect(),
        })
    }

    /// Name and bytes of each constant.
    pub(super) fn constants(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.constants.iter().map(|(name, bytes)| (*name, &**bytes))
    }

    /// Whether a feature of [`config::features`] is on.
    pub(super) fn has(&self, feature: u32) -> bool {
        let bytes = self
            .constants
            .get(config::FEATURES)
            .and_then(|bytes| bytes.first_chunk());
        bytes.is_some_and(|bytes| u32::from_ne_bytes(*bytes) & feature != 0)
    }

    /// Id of a map of the XDP program, if that is loaded.
    pub(super) fn xdp_map(&self, name: &str) -> Option<u32> {
        self.xdp_maps.get(name).copied()
    }

    /// Cookie of the node's own network namespace.
    pub(super) fn host_netns(&self) -> u64 {
        let bytes = self
            .constants
            .get(config::HOST_NETNS_COOKIE)
            .and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }
}

fn map_ids(info: &ProgramInfo) -> Option<Vec<u32>> {
    info.map_ids().ok().flatten()
}

fn unreadable(source: std::io::Error) -> Error {
    Error::Io {
        what: "read the configuration of the programs that run".to_owned(),
        source,
    }
}

/// The constants in the read-only data of programs that are of this object.
fn constants(bytes: &[u8], data: &[u8]) -> Result<BTreeMap<&'static str, Vec<u8>>, Error> {
    const NAMES: [&str; 6] = [
        config::NODE_PORT_MIN,
        config::NODE_PORT_MAX,
        config::SNAT_PORT_MIN,
        config::SNAT_PORT_MAX,
        config::HOST_NETNS_COOKIE,
        config::FEATURES,
    ];
    let file = ::object::File::parse(bytes).map_err(|_| Error::NoObject)?;
    let section = file.section_by_name(READ_ONLY).ok_or(Error::NoObject)?;
    // Another version's, whose constants may stand elsewhere.
    if section.size() != data.len() as u64 {
        return Err(Error::OtherVersion);
    }
    let constant = |name: &'static str| {
        let symbol = file.symbol_by_name(name).ok_or(Error::Missing(name))?;
        let range = || {
            let from = usize::try_from(symbol.address()).ok()?;
            Some(from..from.checked_add(usize::try_from(symbol.size()).ok()?)?)
        };
        let bytes = range().and_then(|range| data.get(range)).ok_or(Error::OtherVersion)?;
        Ok((name, bytes.to_vec()))
    };
    NAMES.into_iter().map(constant).collect()
}
