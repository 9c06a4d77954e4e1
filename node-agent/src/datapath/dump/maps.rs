//! The pinned maps themselves: kinds, sizes, fill and memory.

use super::{
    super::{
        Error,
        batches::Batches,
        fdinfo::FdInfo,
        pins::Pins,
        service_counts::ServiceCounts,
        tables::{MapFamily, pinned},
    },
    open, tables, unreadable,
};
use aya::{
    Pod,
    maps::{MapInfo, MapType},
};
use kpr_abi::{
    AffinityKey, AffinityValue, Cookie, FlowKey, FlowValue, FragmentKey, FragmentValue, PeerKey, PeerValue, ServiceKey,
    StoredService, V4, V6, maps as names,
};
use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// A pinned map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedMap {
    /// Its name.
    pub name: &'static str,
    /// Its kind, as the kernel's documentation writes it.
    pub kind: &'static str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries it can hold.
    pub capacity: u32,
    /// Entries in use; none of arrays, all of whose entries are there.
    pub entries: Option<u32>,
    /// Bytes that the kernel accounts to it; none where it doesn't tell.
    pub memory: Option<u64>,
    /// `BPF_F_*`, or-ed.
    pub flags: u32,
}

/// Every map of kpr's that is pinned under `bpffs_root`.
pub fn maps(bpffs_root: &Path) -> Result<Vec<PinnedMap>, Error> {
    let pins = Pins::new(bpffs_root);
    let mut found = Vec::new();
    for name in names::ALL {
        let Some(fd) = open(bpffs_root, name)? else { continue };
        let error = |source| Error::Map { map: name, source };
        let info = MapInfo::from_pin(pins.map(name)).map_err(error)?;
        found.push(PinnedMap {
            name,
            kind: kind(info.map_type().map_err(error)?),
            key_size: info.key_size(),
            value_size: info.value_size(),
            capacity: info.max_entries(),
            entries: match count::<V4>(bpffs_root, name, &fd)? {
                None => count::<V6>(bpffs_root, name, &fd)?,
                counted => counted,
            },
            // Accounted since 5.11 to the cgroup of whoever made it, and always told in this place.
            memory: FdInfo::of(fd.as_fd()).and_then(|info| info.number("memlock")),
            flags: info.map_flags(),
        });
    }
    Ok(found)
}

const fn kind(kind: MapType) -> &'static str {
    match kind {
        MapType::Hash => "hash",
        MapType::LruHash => "lru_hash",
        MapType::Array => "array",
        MapType::PerCpuArray => "percpu_array",
        MapType::LpmTrie => "lpm_trie",
        MapType::RingBuf => "ringbuf",
        MapType::PerfEventArray => "perf_event_array",
        MapType::PerCpuHash => "percpu_hash",
        MapType::LruPerCpuHash => "lru_percpu_hash",
        _ => "other",
    }
}

/// How many entries a map of this family has, if it is one whose entries come and go.
fn count<F: MapFamily>(bpffs_root: &Path, name: &'static str, map: &OwnedFd) -> Result<Option<u32>, Error> {
    let counted = if name == F::SERVICES {
        entries::<ServiceKey<F::Addr>, StoredService>(name, map)
    } else if name == F::FLOWS {
        entries::<FlowKey<F::Addr>, FlowValue<F::Addr>>(name, map)
    } else if name == F::FRAGMENTS {
        entries::<FragmentKey<F::Addr>, FragmentValue>(name, map)
    } else if name == F::LOCAL {
        entries::<F::Addr, u32>(name, map)
    } else if name == F::SNAT_SOURCE {
        entries::<u32, F::Addr>(name, map)
    } else if name == F::SOCKETS {
        entries::<Cookie, PeerValue<F::Addr>>(name, map)
    } else if name == F::PEERS {
        entries::<PeerKey<F::Addr>, PeerValue<F::Addr>>(name, map)
    } else if name == F::AFFINITY {
        entries::<AffinityKey<F::Addr>, AffinityValue>(name, map)
    } else if name == F::SERVICE_COUNTS {
        let map = pinned(&Pins::new(bpffs_root), name)?;
        ServiceCounts::<F>::open(map).map(|counts| counts.len())
    } else if name == F::SOURCE_RANGES {
        let ranges = tables::<F>(bpffs_root)?.map_or(0, |tables| tables.source_ranges.keys().count());
        Ok(u32::try_from(ranges).unwrap_or(u32::MAX))
    } else {
        return Ok(None);
    };
    counted.map(Some)
}

fn entries<K: Pod + Default, V: Pod + Default>(name: &'static str, map: &OwnedFd) -> Result<u32, Error> {
    let mut count = 0;
    let mut batches = Batches::<K, V>::of(map.as_fd());
    while let Some(entries) = batches.next().map_err(unreadable(name))? {
        count += u32::try_from(entries.count()).unwrap_or(u32::MAX);
    }
    Ok(count)
}
