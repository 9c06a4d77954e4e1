//! Typed access to the maps of one address family.

use super::{Error, array::Array, batches::Batches, pins::Pins, source_ranges, sys};
use crate::plan::AdmittedRange;
use aya::{
    Ebpf, Pod,
    maps::{self as aya_maps, HashMap, LpmTrie, Map, MapData, MapError, PerCpuValues},
    util::nr_cpus,
};
use kpr_abi::{
    BackendValue, Family, FlowKey, FlowValue, ServiceKey, ServiceValue, SourceRange, StoredService, V4, V6, maglev,
    maps,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
};

/// A family whose addresses stand in maps, and the names of its maps.
pub trait MapFamily: Family<Addr: Pod> {
    /// Frontends.
    const SERVICES: &'static str;
    /// Slots.
    const SLOTS: &'static str;
    /// Backends.
    const BACKENDS: &'static str;
    /// Flows.
    const FLOWS: &'static str;
    /// Ports of fragmented packets.
    const FRAGMENTS: &'static str;
    /// Peers of connected sockets.
    const SOCKETS: &'static str;
    /// Peers of unconnected sockets.
    const PEERS: &'static str;
    /// Backends that clients had last.
    const AFFINITY: &'static str;
    /// Source ranges.
    const SOURCE_RANGES: &'static str;
    /// The filter before the frontends.
    const FILTER: &'static str;
    /// Node addresses.
    const LOCAL: &'static str;
    /// SNAT sources.
    const SNAT_SOURCE: &'static str;
    /// Connections by backend.
    const LOADS: &'static str;
    /// Whether flows linger whose frontend is gone.
    const LINGERING: &'static str;
    /// What is counted of frontends.
    const SERVICE_COUNTS: &'static str;

    /// The address as it stands in maps, if it is of this family.
    fn addr(ip: IpAddr) -> Option<Self::Addr>;
}

impl MapFamily for V4 {
    const SERVICES: &'static str = maps::SERVICES4;
    const SLOTS: &'static str = maps::SLOTS4;
    const BACKENDS: &'static str = maps::BACKENDS4;
    const FLOWS: &'static str = maps::FLOWS4;
    const FRAGMENTS: &'static str = maps::FRAGMENTS4;
    const SOCKETS: &'static str = maps::SOCKETS4;
    const PEERS: &'static str = maps::PEERS4;
    const AFFINITY: &'static str = maps::AFFINITY4;
    const SOURCE_RANGES: &'static str = maps::SOURCE_RANGES4;
    const FILTER: &'static str = maps::FILTER4;
    const LOCAL: &'static str = maps::LOCAL4;
    const SNAT_SOURCE: &'static str = maps::SNAT_SOURCE4;
    const LOADS: &'static str = maps::LOADS4;
    const LINGERING: &'static str = maps::LINGERING4;
    const SERVICE_COUNTS: &'static str = maps::SERVICE_COUNTS4;

    fn addr(ip: IpAddr) -> Option<Self::Addr> {
        match ip {
            IpAddr::V4(ip) => Some(ip.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl MapFamily for V6 {
    const SERVICES: &'static str = maps::SERVICES6;
    const SLOTS: &'static str = maps::SLOTS6;
    const BACKENDS: &'static str = maps::BACKENDS6;
    const FLOWS: &'static str = maps::FLOWS6;
    const FRAGMENTS: &'static str = maps::FRAGMENTS6;
    const SOCKETS: &'static str = maps::SOCKETS6;
    const PEERS: &'static str = maps::PEERS6;
    const AFFINITY: &'static str = maps::AFFINITY6;
    const SOURCE_RANGES: &'static str = maps::SOURCE_RANGES6;
    const FILTER: &'static str = maps::FILTER6;
    const LOCAL: &'static str = maps::LOCAL6;
    const SNAT_SOURCE: &'static str = maps::SNAT_SOURCE6;
    const LOADS: &'static str = maps::LOADS6;
    const LINGERING: &'static str = maps::LINGERING6;
    const SERVICE_COUNTS: &'static str = maps::SERVICE_COUNTS6;

    fn addr(ip: IpAddr) -> Option<Self::Addr> {
        match ip {
            IpAddr::V6(ip) => Some(ip.into()),
            IpAddr::V4(_) => None,
        }
    }
}

/// A frontend and its value.
type Frontend<F> = (ServiceKey<<F as Family>::Addr>, ServiceValue);

/// What the maps of a family hold, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents<F: Family> {
    /// Frontends, sorted by key.
    pub services: Vec<Frontend<F>>,
    /// The slot table up to the last slot that a frontend uses; 0 in slots that none uses.
    pub slots: Vec<u32>,
    /// The backends that slots name, by id.
    pub backends: BTreeMap<u32, BackendValue<F::Addr>>,
    /// Who may connect to frontends that ask for source ranges, in no order.
    pub source_ranges: Vec<AdmittedRange<F::Addr>>,
}

/// The maps that tell frontends and backends.
pub(super) struct ServiceTables<F: MapFamily> {
    pub(super) services: HashMap<MapData, ServiceKey<F::Addr>, StoredService>,
    /// The same map, to read and write many at once.
    services_at_once: OwnedFd,
    pub(super) slots: Array<u32>,
    pub(super) backends: Array<BackendValue<F::Addr>>,
    pub(super) source_ranges: LpmTrie<MapData, SourceRange<F::Addr>, u32>,
}

impl<F: MapFamily> ServiceTables<F> {
    /// From wherever maps come: a loaded object, or pins.
    pub(super) fn open(mut map: impl FnMut(&'static str) -> Result<Map, Error>) -> Result<Self, Error> {
        let mut typed = |name| map(name);
        let services = typed(F::SERVICES)?;
        let Map::HashMap(data) = &services else {
            return Err(Error::Missing(F::SERVICES));
        };
        let services_at_once = data.fd().as_fd().try_clone_to_owned().map_err(|source| Error::Io {
            what: format!("open the map {} again", F::SERVICES),
            source,
        })?;
        Ok(Self {
            services: convert(F::SERVICES, services)?,
            services_at_once,
            slots: Array::open(F::SLOTS, typed(F::SLOTS)?)?,
            backends: Array::open(F::BACKENDS, typed(F::BACKENDS)?)?,
            source_ranges: convert(F::SOURCE_RANGES, typed(F::SOURCE_RANGES)?)?,
        })
    }

    /// The frontends that there are, in no order.
    pub(super) fn frontends(&self) -> Result<Vec<Frontend<F>>, Error> {
        let mut services = Vec::new();
        let mut batches = Batches::<ServiceKey<F::Addr>, StoredService>::of(self.services_at_once.as_fd());
        let failed = |source| Error::Io {
            what: format!("read the map {}", F::SERVICES),
            source,
        };
        while let Some(entries) = batches.next().map_err(failed)? {
            // One that does not pass its check serves nobody: whoever compares writes it anew.
            let value = |key: &_, stored: &StoredService| stored.value(key).copied().unwrap_or_default();
            services.extend(entries.map(|(key, stored)| (*key, value(key, stored))));
        }
        Ok(services)
    }

    /// Writes frontends, in this order. Returns how many were written.
    pub(super) fn put_services(&self, services: &[(ServiceKey<F::Addr>, ServiceValue)]) -> (usize, Result<(), Error>) {
        let keys: Vec<_> = services.iter().map(|&(key, _)| key).collect();
        let values: Vec<_> = services
            .iter()
            .map(|(key, value)| StoredService::new(key, *value))
            .collect();
        let (done, result) = sys::update_batch(self.services_at_once.as_fd(), &keys, &values);
        let result = result.map_err(|source| Error::Io {
            what: format!("write the map {}", F::SERVICES),
            source,
        });
        (done, result)
    }

    /// The backends that these slots name. Ids are given lowest first, so most of the table up to the last one is of use.
    fn named(&self, slots: &[u32]) -> Result<BTreeMap<u32, BackendValue<F::Addr>>, Error> {
        let is_valid = |id: &&u32| (1..self.backends.len()).contains(*id);
        let mut ids: Vec<u32> = slots.iter().filter(is_valid).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let Some(last) = ids.last() else {
            return Ok(BTreeMap::new());
        };
        let mut values = vec![BackendValue::default(); *last as usize + 1];
        self.backends.read(0, &mut values)?;
        let value = |id: u32| (id, values[id as usize]);
        Ok(ids
            .into_iter()
            .map(value)
            .filter(|(_, value)| value.proto != 0)
            .collect())
    }

    /// Reads everything that frontends lead to. Slots or backends that can't be read are left out: whoever compares sees that
    /// something is missing, and writes it anew.
    pub(super) fn contents(&self) -> Result<Contents<F>, Error> {
        let mut services = self.frontends()?;
        services.sort_unstable_by_key(|(key, _)| *key);
        // Frontends of one service share slices: read each once.
        let lists: BTreeSet<(u32, u32)> = services.iter().flat_map(|(_, value)| extents(value)).collect();
        let end = |&(base, len): &(u32, u32)| base.saturating_add(len).min(self.slots.len()) as usize;
        let mut slots = vec![0; lists.iter().map(end).max().unwrap_or_default()];
        for list in &lists {
            if let Some(slots) = slots
                .get_mut(list.0 as usize..end(list))
                .filter(|slots| !slots.is_empty())
            {
                self.slots.read(list.0, slots)?;
            }
        }
        Ok(Contents {
            services,
            backends: self.named(&slots)?,
            slots,
            source_ranges: source_ranges::read(self)?,
        })
    }
}

/// Where in the slot table what a frontend leads to stands, Maglev tables included: first slot and number of slots.
pub(super) fn extents(value: &ServiceValue) -> [(u32, u32); 2] {
    [value.cluster, value.local].map(|list| (list.base, maglev::extent(value.flags, list)))
}

/// The maps of the packet path.
pub(super) struct PacketTables<F: MapFamily> {
    pub(super) flows: HashMap<MapData, FlowKey<F::Addr>, FlowValue<F::Addr>>,
    pub(super) local: HashMap<MapData, F::Addr, u32>,
    pub(super) snat_source: HashMap<MapData, u32, F::Addr>,
    pub(super) loads: aya_maps::Array<MapData, u64>,
    pub(super) lingering: aya_maps::Array<MapData, u32>,
}

impl<F: MapFamily> PacketTables<F> {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            flows: convert(F::FLOWS, take(ebpf, F::FLOWS)?)?,
            local: convert(F::LOCAL, take(ebpf, F::LOCAL)?)?,
            snat_source: convert(F::SNAT_SOURCE, take(ebpf, F::SNAT_SOURCE)?)?,
            loads: convert(F::LOADS, take(ebpf, F::LOADS)?)?,
            lingering: convert(F::LINGERING, take(ebpf, F::LINGERING)?)?,
        })
    }
}

/// Takes a map out of the loaded object.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, Error> {
    ebpf.take_map(name).ok_or(Error::Missing(name))
}

/// Opens the map that is pinned under this name.
pub(super) fn pinned(pins: &Pins, name: &'static str) -> Result<Map, Error> {
    let data = MapData::from_pin(pins.map(name)).map_err(map_error(name))?;
    Map::from_map_data(data).map_err(map_error(name))
}

/// What the map of this name said.
pub(super) fn map_error(map: &'static str) -> impl Fn(MapError) -> Error {
    move |source| Error::Map { map, source }
}

/// What the kernel said when many entries of the map of this name were to be read.
pub(super) fn unreadable(map: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io {
        what: format!("read the map {map}"),
        source,
    }
}

/// An entry, if there is one.
pub(super) fn look_up<K: Pod, V: Pod>(
    name: &'static str,
    map: &HashMap<MapData, K, V>,
    key: &K,
) -> Result<Option<V>, Error> {
    match map.get(key, 0) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(map_error(name)(error)),
    }
}

/// Lets a removal be that finds nothing to remove.
pub(super) fn ignore_absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Gives a map its type.
pub(super) fn convert<T: TryFrom<Map, Error = MapError>>(name: &'static str, map: Map) -> Result<T, Error> {
    T::try_from(map).map_err(map_error(name))
}

/// A value of a per-CPU map on which no CPU has anything.
pub(super) fn nothing_on_each_cpu<V: Pod + Default>(map: &'static str) -> Result<PerCpuValues<V>, Error> {
    let cpus = nr_cpus().map_err(|(path, source): (_, io::Error)| Error::Io {
        what: format!("read {path}"),
        source,
    })?;
    PerCpuValues::try_from(vec![V::default(); cpus]).map_err(|source| Error::Io {
        what: format!("clear an entry of the map {map}"),
        source,
    })
}

/// Makes a small map hold exactly `wanted`, writing differences only; returns the number of writes.
pub(super) fn reconcile<K, V>(
    name: &'static str,
    map: &mut HashMap<MapData, K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<u64, Error>
where
    K: Pod + Ord,
    V: Pod + PartialEq,
{
    let error = |source| Error::Map { map: name, source };
    let mut present = BTreeMap::new();
    for entry in map.iter() {
        let (key, value) = entry.map_err(error)?;
        present.insert(key, value);
    }
    let mut writes = 0;
    for (key, value) in wanted {
        if present.get(key) != Some(value) {
            map.insert(key, value, 0).map_err(error)?;
            writes += 1;
        }
    }
    for key in present.keys().filter(|key| !wanted.contains_key(key)) {
        map.remove(key).map_err(error)?;
        writes += 1;
    }
    Ok(writes)
}
