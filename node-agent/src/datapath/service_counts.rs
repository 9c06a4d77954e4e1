//! Which frontends are counted, and what programs have counted of them.

use super::{
    Error, links,
    pins::Pins,
    tables::{MapFamily, convert, ignore_absent, map_error, nothing_on_each_cpu, pinned},
};
use crate::model::Protocol;
use aya::maps::{Map, MapData, PerCpuHashMap};
use kpr_abi::{Be16, Family, ServiceCount, ServiceKey, V4, V6};
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::Path,
};

/// What was counted, by frontend.
pub type CountedFrontends = HashMap<(SocketAddr, Protocol), ServiceCount>;

type Counts<F> = PerCpuHashMap<MapData, ServiceKey<<F as Family>::Addr>, ServiceCount>;

/// The counts of one family.
pub(super) struct ServiceCounts<F: MapFamily> {
    map: Counts<F>,
    /// The frontends that have an entry.
    counted: BTreeSet<ServiceKey<F::Addr>>,
}

impl<F: MapFamily> ServiceCounts<F> {
    /// Adopts what an earlier agent has left.
    pub(super) fn open(map: Map) -> Result<Self, Error> {
        let map: Counts<F> = convert(F::SERVICE_COUNTS, map)?;
        let counted = map.keys().collect::<Result<_, _>>();
        let counted = counted.map_err(map_error(F::SERVICE_COUNTS))?;
        Ok(Self { map, counted })
    }

    /// The frontends that are counted.
    pub(super) fn frontends(&self) -> impl Iterator<Item = (SocketAddr, Protocol)> {
        self.counted.iter().filter_map(frontend::<F>)
    }

    /// How many frontends are counted.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.counted.len()).unwrap_or(u32::MAX)
    }

    /// Makes entries for those of these frontends that are of the family, and removes all others. Returns the number of writes.
    pub(super) fn be(&mut self, frontends: &[(SocketAddr, Protocol)]) -> Result<u64, Error> {
        let wanted: BTreeSet<_> = frontends.iter().filter_map(key::<F>).collect();
        let gone: Vec<_> = self.counted.difference(&wanted).copied().collect();
        let new: Vec<_> = wanted.difference(&self.counted).copied().collect();
        // First, to make room.
        for key in &gone {
            ignore_absent(self.map.remove(key)).map_err(map_error(F::SERVICE_COUNTS))?;
            self.counted.remove(key);
        }
        for key in &new {
            let nothing = nothing_on_each_cpu(F::SERVICE_COUNTS)?;
            self.map.insert(key, nothing, 0).map_err(map_error(F::SERVICE_COUNTS))?;
            self.counted.insert(*key);
        }
        Ok((gone.len() + new.len()) as u64)
    }
}

/// Forgets what an earlier agent has had counted: its programs, which may still run, count for nobody from now on.
pub(super) fn forget(pins: &Pins) -> Result<(), Error> {
    links::unpin(&pins.map(V4::SERVICE_COUNTS))?;
    links::unpin(&pins.map(V6::SERVICE_COUNTS))
}

/// What programs have counted, of both families, from the maps pinned under `bpffs_root`.
pub fn service_counts(bpffs_root: &Path) -> Result<CountedFrontends, Error> {
    let pins = Pins::new(bpffs_root);
    let mut counts = read::<V4>(&pins)?;
    counts.extend(read::<V6>(&pins)?);
    Ok(counts)
}

/// The same of one family.
fn read<F: MapFamily>(pins: &Pins) -> Result<CountedFrontends, Error> {
    // There is no datapath, or one of an agent that did not count.
    if !pins.map(F::SERVICE_COUNTS).exists() {
        return Ok(CountedFrontends::new());
    }
    let map: Counts<F> = convert(F::SERVICE_COUNTS, pinned(pins, F::SERVICE_COUNTS)?)?;
    let mut counts = CountedFrontends::new();
    for entry in &map {
        let (key, per_cpu) = entry.map_err(map_error(F::SERVICE_COUNTS))?;
        let mut sum = ServiceCount::default();
        per_cpu.iter().for_each(|count| sum += *count);
        if let Some(frontend) = frontend::<F>(&key) {
            counts.insert(frontend, sum);
        }
    }
    Ok(counts)
}

/// The frontend of a key; none of one that nobody has written.
pub(crate) fn frontend<F: Family>(key: &ServiceKey<F::Addr>) -> Option<(SocketAddr, Protocol)> {
    let ip: F::Ip = key.addr.into();
    let protocol = Protocol::of_number(key.proto)?;
    Some((SocketAddr::new(ip.into(), key.port.host()), protocol))
}

/// The frontend's key, if it is of the family.
fn key<F: MapFamily>((address, protocol): &(SocketAddr, Protocol)) -> Option<ServiceKey<F::Addr>> {
    let addr = F::addr(address.ip())?;
    Some(ServiceKey::new(addr, Be16::new(address.port()), protocol.number()))
}
