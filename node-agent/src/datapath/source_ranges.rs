//! Who may connect to LoadBalancer frontends: ranges as the tries have them.

use super::{
    Error,
    tables::{MapFamily, ServiceTables},
};
use crate::plan::AdmittedRange;
use aya::{
    Pod,
    maps::{MapError, lpm_trie::Key},
};
use kpr_abi::{Address, SourceRange, source_range::ID_BITS};
use std::io;

/// Key of a range: the service's id counts in full.
pub(super) fn key<A: Address + Pod>(range: &AdmittedRange<A>) -> Key<SourceRange<A>> {
    let AdmittedRange { service, addr, bits } = *range;
    Key::new(ID_BITS + u32::from(bits), SourceRange { service, addr })
}

/// Every range in the trie.
pub(super) fn read<F: MapFamily>(tables: &ServiceTables<F>) -> Result<Vec<AdmittedRange<F::Addr>>, Error> {
    let keys = tables.source_ranges.keys();
    keys.map(|key| {
        let key = key.map_err(|source| Error::Map {
            map: F::SOURCE_RANGES,
            source,
        })?;
        let SourceRange { service, addr } = key.data();
        let bits = u8::try_from(key.prefix_len().saturating_sub(ID_BITS)).unwrap_or(u8::MAX);
        Ok(AdmittedRange { service, addr, bits })
    })
    .collect()
}

/// Writes a range.
pub(super) fn put<F: MapFamily>(tables: &mut ServiceTables<F>, range: &AdmittedRange<F::Addr>) -> Result<(), MapError> {
    tables.source_ranges.insert(&key(range), 1, 0)
}

/// Deletes a range, if it is there.
pub(super) fn delete<F: MapFamily>(
    tables: &mut ServiceTables<F>,
    range: &AdmittedRange<F::Addr>,
) -> Result<(), MapError> {
    match tables.source_ranges.remove(&key(range)) {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
