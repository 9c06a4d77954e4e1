//! Who may connect to LoadBalancer frontends: what the tries hold, and what they should.

use super::{
    Error,
    tables::{MapFamily, PacketTables},
};
use aya::{Pod, maps::lpm_trie::Key};
use kpr_abi::{Address, SourceRange, source_range::ID_BITS};
use std::collections::BTreeSet;

/// A range of a frontend: its id, the range's first address, and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdmittedRange<A> {
    /// The frontend's id.
    pub service: u32,
    /// First address.
    pub addr: A,
    /// Prefix length of the range.
    pub bits: u8,
}

impl<A: Address + Pod> AdmittedRange<A> {
    fn key(&self) -> Key<SourceRange<A>> {
        let data = SourceRange {
            service: self.service,
            addr: self.addr,
        };
        Key::new(ID_BITS + u32::from(self.bits), data)
    }

    fn from_key(key: &Key<SourceRange<A>>) -> Self {
        let SourceRange { service, addr } = key.data();
        let bits = u8::try_from(key.prefix_len().saturating_sub(ID_BITS)).unwrap_or(u8::MAX);
        Self { service, addr, bits }
    }
}

/// Writes the ranges that are missing; returns the number of writes.
pub(super) fn admit<F: MapFamily>(
    tables: &mut PacketTables<F>,
    wanted: &BTreeSet<AdmittedRange<F::Addr>>,
) -> Result<u64, Error> {
    let present = read(tables)?;
    let missing: Vec<_> = wanted.difference(&present).collect();
    for range in &missing {
        tables.source_ranges.insert(&range.key(), 1, 0).map_err(error::<F>)?;
    }
    Ok(missing.len() as u64)
}

/// Removes every other range; returns the number of writes.
pub(super) fn retain<F: MapFamily>(
    tables: &mut PacketTables<F>,
    wanted: &BTreeSet<AdmittedRange<F::Addr>>,
) -> Result<u64, Error> {
    let present = read(tables)?;
    let stale: Vec<_> = present.difference(wanted).collect();
    for range in &stale {
        tables.source_ranges.remove(&range.key()).map_err(error::<F>)?;
    }
    Ok(stale.len() as u64)
}

fn read<F: MapFamily>(tables: &PacketTables<F>) -> Result<BTreeSet<AdmittedRange<F::Addr>>, Error> {
    let keys = tables.source_ranges.keys();
    keys.map(|key| key.map(|key| AdmittedRange::from_key(&key)).map_err(error::<F>))
        .collect()
}

fn error<F: MapFamily>(source: aya::maps::MapError) -> Error {
    Error::Map {
        map: F::SOURCE_RANGES,
        source,
    }
}
