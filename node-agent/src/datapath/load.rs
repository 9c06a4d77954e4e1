//! Loads the programs: maps from their pins where they are pinned, read-only data as the settings say.

use super::{Error, Settings, features::Features, object, pins::Pins};
use aya::{Ebpf, EbpfLoader, maps::MapInfo, maps::MapType};
use kpr_abi::{config, maps};
use std::path::PathBuf;

/// Loads the object into the kernel's maps; programs are verified when they are attached.
pub(super) fn load(pins: &Pins, settings: &Settings, features: &Features) -> Result<Ebpf, Error> {
    let bytes = object::bytes()?;
    let cookie = features.host_netns_cookie;
    let mask = features.mask();
    let (node_ports, snat_ports) = (settings.node_ports, settings.snat_ports);

    let mut loader = EbpfLoader::new();
    loader
        .override_global(config::NODE_PORT_MIN, &node_ports.min, true)
        .override_global(config::NODE_PORT_MAX, &node_ports.max, true)
        .override_global(config::SNAT_PORT_MIN, &snat_ports.min, true)
        .override_global(config::SNAT_PORT_MAX, &snat_ports.max, true)
        .override_global(config::HOST_NETNS_COOKIE, &cookie, true)
        .override_global(config::FEATURES, &mask, true);
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
        maps::SERVICES4 => Some(sizes.services),
        maps::SLOTS4 => Some(sizes.slots),
        maps::BACKENDS4 => Some(sizes.backends),
        maps::FLOWS4 => Some(sizes.flows),
        maps::PEERS4 => Some(sizes.peers),
        _ => None,
    }
}

/// The capacity of the map pinned here, if there is one; an error if it has another layout than this agent's, which aya would
/// use without a word.
fn pinned_capacity(name: &'static str, pin: &PathBuf) -> Result<Option<u32>, Error> {
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
    use kpr_abi::{Addr4, BackendValue, FlowKey, FlowValue, FragmentKey, FragmentValue, PeerKey, PeerValue, ServiceKey, ServiceValue};
    #[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
    const fn size<T>() -> u32 {
        size_of::<T>() as u32
    }
    match name {
        maps::SERVICES4 => (MapType::Hash, size::<ServiceKey<Addr4>>(), size::<ServiceValue>()),
        maps::SLOTS4 => (MapType::Array, 4, 4),
        maps::BACKENDS4 => (MapType::Array, 4, size::<BackendValue<Addr4>>()),
        maps::FRAGMENTS4 => (
            MapType::LruHash,
            size::<FragmentKey<Addr4>>(),
            size::<FragmentValue>(),
        ),
        maps::FLOWS4 => (MapType::LruHash, size::<FlowKey<Addr4>>(), size::<FlowValue<Addr4>>()),
        maps::LOCAL4 => (MapType::Hash, size::<Addr4>(), 4),
        maps::SNAT_SOURCE4 => (MapType::Hash, 4, size::<Addr4>()),
        maps::CONNECTED4 => (MapType::SkStorage, 4, size::<PeerValue<Addr4>>()),
        maps::PEERS4 => (MapType::LruHash, size::<PeerKey<Addr4>>(), size::<PeerValue<Addr4>>()),
        _ => (MapType::PerCpuArray, 4, 8),
    }
}
