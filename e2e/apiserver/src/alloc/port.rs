//! Node port allocation (KEP-3668: dynamic allocation prefers the upper band).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Why a port cannot be had, in the words of the real allocator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    #[error("provided port is not in the valid range. The range of valid ports is {0}-{1}")]
    NotInRange(u16, u16),
    #[error("provided port is already allocated")]
    Taken,
    #[error("range is full")]
    Full,
}

/// Checks that the chosen port is in the range and free.
pub(crate) fn claim(range: &RangeInclusive<u16>, port: u16, used: &BTreeSet<u16>) -> Result<(), PortError> {
    if !range.contains(&port) {
        return Err(PortError::NotInRange(*range.start(), *range.end()));
    }
    if used.contains(&port) {
        Err(PortError::Taken)
    } else {
        Ok(())
    }
}

/// The next free port after `cursor` in the dynamic band, then in the static one.
pub(crate) fn next(range: &RangeInclusive<u16>, used: &BTreeSet<u16>, cursor: &mut u16) -> Result<u16, PortError> {
    let (start, end) = (*range.start(), *range.end());
    let size = end - start + 1;
    // min(max(16, size/32), 128), as the real allocator's static band.
    let band = (size / 32).clamp(16, 128).min(size);
    let dynamic = size - band;
    let upper = (0..dynamic).map(|step| start + band + (*cursor + step) % dynamic.max(1));
    let lower = start..start + band;
    let port = upper
        .chain(lower)
        .find(|port| !used.contains(port))
        .ok_or(PortError::Full)?;
    *cursor = (port - start + 1).saturating_sub(band);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_the_range_is_given_once() {
        let range = 30000..=30039;
        let (mut used, mut cursor) = (BTreeSet::new(), 0);
        while let Ok(port) = next(&range, &used, &mut cursor) {
            assert!(used.insert(port));
        }
        assert_eq!(used, range.collect());
    }

    #[test]
    fn dynamic_ports_of_the_default_range_start_at_30086() {
        let mut cursor = 0;
        assert_eq!(next(&(30000..=32767), &BTreeSet::new(), &mut cursor), Ok(30086));
        assert_eq!(next(&(30000..=32767), &BTreeSet::new(), &mut cursor), Ok(30087));
    }

    #[test]
    fn chosen_ports_must_be_free_and_in_range() {
        let used = BTreeSet::from([30080]);
        assert_eq!(claim(&(30000..=32767), 30080, &used), Err(PortError::Taken));
        assert_eq!(
            claim(&(30000..=32767), 80, &used).unwrap_err().to_string(),
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        );
    }
}
