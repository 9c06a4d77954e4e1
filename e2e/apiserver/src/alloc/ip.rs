//! Cluster IP allocation (KEP-3070: dynamic allocation prefers the upper band, static choices the lower).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The range of cluster IPs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IpRange {
    base: u32,
    prefix: u8,
}

/// Why an address cannot be had, in the words of the real allocator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IpError {
    #[error(
        "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
    )]
    NotInRange { ip: Ipv4Addr, range: String },
    #[error("failed to allocate IP {0}: provided IP is already allocated")]
    Taken(Ipv4Addr),
    #[error("range is full")]
    Full,
}

impl IpRange {
    pub(crate) fn new((base, prefix): (Ipv4Addr, u8)) -> Self {
        Self {
            base: u32::from(base),
            prefix,
        }
    }

    /// The number of host offsets: without the network and the broadcast address.
    fn hosts(self) -> u32 {
        let size = 1u64 << (32 - u32::from(self.prefix.min(30)));
        u32::try_from(size - 2).unwrap_or(u32::MAX)
    }

    /// Size of the band kept for static choices: min(max(16, hosts/16), 256).
    fn static_band(self) -> u32 {
        (self.hosts() / 16).clamp(16, 256).min(self.hosts())
    }

    /// Checks that the chosen address is in the range and free.
    pub(crate) fn claim(self, ip: Ipv4Addr, used: &BTreeSet<Ipv4Addr>) -> Result<(), IpError> {
        let offset = u32::from(ip).checked_sub(self.base);
        if !offset.is_some_and(|offset| (1..=self.hosts()).contains(&offset)) {
            let range = format!("{}/{}", Ipv4Addr::from(self.base), self.prefix);
            return Err(IpError::NotInRange { ip, range });
        }
        if used.contains(&ip) {
            Err(IpError::Taken(ip))
        } else {
            Ok(())
        }
    }

    /// The next free address after `cursor` in the dynamic band, then in the static one.
    pub(crate) fn next(self, used: &BTreeSet<Ipv4Addr>, cursor: &mut u32) -> Result<Ipv4Addr, IpError> {
        let (band, hosts) = (self.static_band(), self.hosts());
        let dynamic = hosts - band;
        let upper = (0..dynamic).map(|step| band + 1 + (*cursor + step) % dynamic.max(1));
        let lower = 1..=band;
        let free = |offset: &u32| !used.contains(&Ipv4Addr::from(self.base + offset));
        let offset = upper.chain(lower).find(free).ok_or(IpError::Full)?;
        *cursor = offset.saturating_sub(band);
        Ok(Ipv4Addr::from(self.base + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: u8) -> IpRange {
        IpRange::new((Ipv4Addr::new(10, 96, 0, 0), prefix))
    }

    #[test]
    fn dynamic_addresses_come_from_the_upper_band_and_are_not_reused_at_once() {
        let mut cursor = 0;
        let first = range(16).next(&BTreeSet::new(), &mut cursor).unwrap();
        let second = range(16).next(&BTreeSet::new(), &mut cursor).unwrap();
        assert_eq!(
            (first, second),
            (Ipv4Addr::new(10, 96, 1, 1), Ipv4Addr::new(10, 96, 1, 2))
        );
    }

    #[test]
    fn a_small_range_is_used_up_to_the_last_address() {
        let (mut used, mut cursor) = (BTreeSet::new(), 0);
        while let Ok(ip) = range(28).next(&used, &mut cursor) {
            assert!(used.insert(ip));
        }
        assert_eq!(used.len(), 14);
    }

    #[test]
    fn chosen_addresses_must_be_free_and_in_range() {
        let taken = Ipv4Addr::new(10, 96, 0, 10);
        let used = BTreeSet::from([taken]);
        let words = |ip| range(16).claim(ip, &used).unwrap_err().to_string();
        assert_eq!(
            words(taken),
            "failed to allocate IP 10.96.0.10: provided IP is already allocated"
        );
        assert_eq!(
            words(Ipv4Addr::new(10, 97, 0, 1)),
            "failed to allocate IP 10.97.0.1: the provided IP (10.97.0.1) is not in the valid range. \
             The range of valid IPs is 10.96.0.0/16"
        );
        assert!(range(16).claim(Ipv4Addr::new(10, 96, 0, 1), &used).is_ok());
    }
}
