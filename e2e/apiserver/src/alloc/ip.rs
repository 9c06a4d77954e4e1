//! Cluster IP allocation (KEP-3070: dynamic allocation prefers the upper band, static choices the lower).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.name() == name)
    }

    /// As `ipFamilies` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// The range of cluster IPs of a family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IpRange {
    base: IpAddr,
    prefix: u8,
}

/// Why an address cannot be had, in the words of the real allocator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IpError {
    #[error(
        "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
    )]
    NotInRange { ip: IpAddr, range: String },
    #[error("failed to allocate IP {0}: provided IP is already allocated")]
    Taken(IpAddr),
    #[error("range is full")]
    Full,
}

impl IpRange {
    pub(crate) fn new((base, prefix): (IpAddr, u8)) -> Self {
        Self { base, prefix }
    }

    pub(crate) const fn family(self) -> Family {
        Family::of(self.base)
    }

    /// The number of host offsets: without the network address and, in IPv4, the broadcast address. Of a larger range than
    /// an IPv4 one can be, the lowest addresses are used.
    fn hosts(self) -> u32 {
        let (bits, reserved) = match self.family() {
            Family::V4 => (32, 2),
            Family::V6 => (128, 1),
        };
        let size = 1u64 << bits_of_host(bits, self.prefix);
        u32::try_from(size - reserved).unwrap_or(u32::MAX)
    }

    /// Size of the band kept for static choices: min(max(16, hosts/16), 256).
    fn static_band(self) -> u32 {
        (self.hosts() / 16).clamp(16, 256).min(self.hosts())
    }

    fn at(self, offset: u32) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).wrapping_add(offset)).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).wrapping_add(offset.into())).into(),
        }
    }

    /// How far an address is from the first one; none if it is of the other family or before it.
    fn offset(self, ip: IpAddr) -> Option<u128> {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => u32::from(ip).checked_sub(base.into()).map(u128::from),
            (IpAddr::V6(base), IpAddr::V6(ip)) => u128::from(ip).checked_sub(base.into()),
            _ => None,
        }
    }

    /// Checks that the chosen address is in the range and free.
    pub(crate) fn claim(self, ip: IpAddr, used: &BTreeSet<IpAddr>) -> Result<(), IpError> {
        if !self
            .offset(ip)
            .is_some_and(|offset| (1..=self.hosts().into()).contains(&offset))
        {
            let range = format!("{}/{}", self.base, self.prefix);
            return Err(IpError::NotInRange { ip, range });
        }
        if used.contains(&ip) {
            Err(IpError::Taken(ip))
        } else {
            Ok(())
        }
    }

    /// The next free address after `cursor` in the dynamic band, then in the static one.
    pub(crate) fn next(self, used: &BTreeSet<IpAddr>, cursor: &mut u32) -> Result<IpAddr, IpError> {
        let (band, hosts) = (self.static_band(), self.hosts());
        let dynamic = hosts - band;
        let upper = (0..dynamic).map(|step| band + 1 + (*cursor + step) % dynamic.max(1));
        let lower = 1..=band;
        let free = |offset: &u32| !used.contains(&self.at(*offset));
        let offset = upper.chain(lower).find(free).ok_or(IpError::Full)?;
        *cursor = offset.saturating_sub(band);
        Ok(self.at(offset))
    }
}

/// At least two bits, at most those of an IPv4 address.
fn bits_of_host(bits: u8, prefix: u8) -> u8 {
    bits.saturating_sub(prefix).clamp(2, 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: u8) -> IpRange {
        IpRange::new((Ipv4Addr::new(10, 96, 0, 0).into(), prefix))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_range_has_no_broadcast_address_to_leave_out() {
        let range = IpRange::new((ip("fd00:10:96::"), 124));
        let (mut used, mut cursor) = (BTreeSet::new(), 0);
        while let Ok(ip) = range.next(&used, &mut cursor) {
            assert!(used.insert(ip));
        }
        assert_eq!(used.len(), 15);
        assert!(used.contains(&ip("fd00:10:96::f")));
    }

    #[test]
    fn dynamic_ipv6_addresses_come_from_the_upper_band_too() {
        let range = IpRange::new((ip("fd00:10:96::"), 112));
        assert_eq!(range.next(&BTreeSet::new(), &mut 0), Ok(ip("fd00:10:96::101")));
        assert!(range.claim(ip("fd00:10:96::ffff"), &BTreeSet::new()).is_ok());
        for outside in ["fd00:10:96::", "fd00:10:96::1:0", "10.96.0.1"] {
            assert!(range.claim(ip(outside), &BTreeSet::new()).is_err(), "{outside}");
        }
    }

    #[test]
    fn dynamic_addresses_come_from_the_upper_band_and_are_not_reused_at_once() {
        let mut cursor = 0;
        let first = range(16).next(&BTreeSet::new(), &mut cursor).unwrap();
        let second = range(16).next(&BTreeSet::new(), &mut cursor).unwrap();
        assert_eq!((first, second), (ip("10.96.1.1"), ip("10.96.1.2")));
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
        let taken = ip("10.96.0.10");
        let used = BTreeSet::from([taken]);
        let words = |ip| range(16).claim(ip, &used).unwrap_err().to_string();
        assert_eq!(
            words(taken),
            "failed to allocate IP 10.96.0.10: provided IP is already allocated"
        );
        assert_eq!(
            words(ip("10.97.0.1")),
            "failed to allocate IP 10.97.0.1: the provided IP (10.97.0.1) is not in the valid range. \
             The range of valid IPs is 10.96.0.0/16"
        );
        assert!(range(16).claim(ip("10.96.0.1"), &used).is_ok());
    }
}
