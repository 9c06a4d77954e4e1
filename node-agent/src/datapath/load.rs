//! Loads the programs: maps from their pins where they are pinned, read-only data as the settings say.

use super::{
    Error, MapFamily, Settings,
    features::Features,
    object::{self, Extras},
    pins::Pins,
};
use aya::{Ebpf, EbpfLoader, maps::MapInfo, maps::MapType};
use kpr_abi::{
    AffinityKey, AffinityValue, BackendValue, Cookie, FlowKey, FlowValue, FragmentKey, FragmentValue, PeerKey,
    PeerValue, ServiceCount, ServiceKey, SourceRange, StoredService, V4, V6, config, event, maps,
};
use std::path::PathBuf;

/// Loads the object into the kernel's maps; programs are verified when they are attached.
pub(super) fn load(pins: &Pins, settings: &Settings, features: &Features) -> Result<Ebpf, Error> {
    let extras = Extras {
        events: settings.events.is_some(),
        counts: settings.count_services,
    };
    let bytes = object::bytes(extras)?;
    let cookie = features.host_netns_cookie;
    let mask = features.mask(settings);
    let (node_ports, snat_ports) = (settings.node_ports, settings.snat_ports);

    let mut loader = EbpfLoader::new();
    loader
        .override_global(config::NODE_PORT_MIN, &node_ports.min, true)
        .override_global(config::NODE_PORT_MAX, &node_ports.max, true)
        .override_global(config::SNAT_PORT_MIN, &snat_ports.min, true)
        .override_global(config::SNAT_PORT_MAX, &snat_ports.max, true)
        .override_global(config::HOST_NETNS_COOKIE, &cookie, true)
        .override_global(config::FEATURES, &mask, true);
    if let Some(bytes) = settings.events {
        loader.map_max_entries(event::EVENTS, bytes);
    }
    for name in maps::ALL {
        let pin = pins.map(name);
        match pinned_capacity(name, &pin)? {
            // A pinned map keeps its size: its entries are flows that live.
            Some(capacity) => loader.map_max_entries(name, capacity),
            None => match wanted_capacity(name, settings) {
                Some(capacity) => loader.map_max_entries(name, capacity),
                None => &mut loader,
            },
        };
        loader.map_pin_path(name, pin);
    }
    Ok(loader.load(bytes)?)
}

/// How many entries a map gets when it is made; `None`: as the object says.
fn wanted_capacity(name: &str, settings: &Settings) -> Option<u32> {
    let sizes = settings.sizes;
    match name {
        maps::SERVICES4 | maps::SERVICES6 => Some(sizes.services),
        maps::SLOTS4 | maps::SLOTS6 => Some(sizes.slots),
        maps::BACKENDS4 | maps::BACKENDS6 | maps::LOADS4 | maps::LOADS6 => Some(sizes.backends),
        maps::FLOWS4 | maps::FLOWS6 => Some(sizes.flows),
        maps::PEERS4 | maps::PEERS6 | maps::SOCKETS4 | maps::SOCKETS6 => Some(sizes.peers),
        maps::AFFINITY4 | maps::AFFINITY6 => Some(sizes.affinity),
        _ => None,
    }
}

/// The capacity of the map pinned here, if there is one; an error if it has another layout than this agent's, which aya would
/// use without a word.
pub(super) fn pinned_capacity(name: &'static str, pin: &PathBuf) -> Result<Option<u32>, Error> {
    if !pin.exists() {
        return Ok(None);
    }
    let map_error = |source| Error::Map { map: name, source };
    let info = MapInfo::from_pin(pin).map_err(map_error)?;
    let (kind, key, value) = layout(name);
    let same = info.map_type().map_err(map_error)? == kind && info.key_size() == key && info.value_size() == value;
    if same {
        Ok(Some(info.max_entries()))
    } else {
        Err(Error::IncompatibleMap {
            name,
            path: pin.clone(),
        })
    }
}

/// Type, key size and value size of each map.
fn layout(name: &str) -> (MapType, u32, u32) {
    family_layout::<V4>(name)
        .or_else(|| family_layout::<V6>(name))
        .unwrap_or((MapType::PerCpuArray, 4, 8))
}

/// The same for a map of one family.
fn family_layout<F: MapFamily>(name: &str) -> Option<(MapType, u32, u32)> {
    #[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
    const fn size<T>() -> u32 {
        size_of::<T>() as u32
    }
    let index = 4;
    [
        (
            F::SERVICES,
            MapType::Hash,
            size::<ServiceKey<F::Addr>>(),
            size::<StoredService>(),
        ),
        (F::SLOTS, MapType::Array, index, size::<u32>()),
        (F::BACKENDS, MapType::Array, index, size::<BackendValue<F::Addr>>()),
        (
            F::FLOWS,
            MapType::LruHash,
            size::<FlowKey<F::Addr>>(),
            size::<FlowValue<F::Addr>>(),
        ),
        (
            F::FRAGMENTS,
            MapType::LruHash,
            size::<FragmentKey<F::Addr>>(),
            size::<FragmentValue>(),
        ),
        (F::LOADS, MapType::Array, index, size::<u64>()),
        (F::LINGERING, MapType::Array, index, size::<u32>()),
        (F::LOCAL, MapType::Hash, size::<F::Addr>(), size::<u32>()),
        (F::SNAT_SOURCE, MapType::Hash, size::<u32>(), size::<F::Addr>()),
        (
            F::SOCKETS,
            MapType::LruHash,
            size::<Cookie>(),
            size::<PeerValue<F::Addr>>(),
        ),
        (
            F::AFFINITY,
            MapType::LruHash,
            size::<AffinityKey<F::Addr>>(),
            size::<AffinityValue>(),
        ),
        (
            F::SOURCE_RANGES,
            MapType::LpmTrie,
            size::<u32>() + size::<SourceRange<F::Addr>>(),
            size::<u32>(),
        ),
        (F::FILTER, MapType::Array, index, size::<u32>()),
        (
            F::SERVICE_COUNTS,
            MapType::PerCpuHash,
            size::<ServiceKey<F::Addr>>(),
            size::<ServiceCount>(),
        ),
        (
            F::PEERS,
            MapType::LruHash,
            size::<PeerKey<F::Addr>>(),
            size::<PeerValue<F::Addr>>(),
        ),
    ]
    .into_iter()
    .find(|(map, ..)| *map == name)
    .map(|(_, kind, key, value)| (kind, key, value))
}
