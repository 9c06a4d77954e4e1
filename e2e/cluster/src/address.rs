//! Addresses and prefixes of one or both families.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Kubernetes' word for it, in `ipFamilies` and `addressType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which families a cluster has, and which of two is the primary one: that of a Service that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Families {
    /// IPv4 only
    #[default]
    Ipv4,
    /// IPv6 only
    Ipv6,
    /// Both, IPv4 first
    DualStack,
    /// Both, IPv6 first
    DualStackIpv6First,
}

impl Families {
    /// Each of them, the primary one first.
    pub const fn all(self) -> &'static [Family] {
        match self {
            Self::Ipv4 => &[Family::V4],
            Self::Ipv6 => &[Family::V6],
            Self::DualStack => &[Family::V4, Family::V6],
            Self::DualStackIpv6First => &[Family::V6, Family::V4],
        }
    }

    /// Whether a cluster of these has `family`.
    pub fn has(self, family: Family) -> bool {
        self.all().contains(&family)
    }

    /// The other one than the primary, if there is one.
    pub fn secondary(self) -> Option<Family> {
        self.all().get(1).copied()
    }

    fn begin_with_ipv6(self) -> bool {
        self == Self::DualStackIpv6First
    }
}

/// What a node, pod or client is reached at: one address of each family it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Whether the IPv6 address is the primary one of the two.
    pub ipv6_first: bool,
}

impl Addresses {
    /// IPv4 only.
    pub const fn v4(address: Ipv4Addr) -> Self {
        Self {
            v4: Some(address),
            v6: None,
            ipv6_first: false,
        }
    }

    /// Those of the two that are of `families`.
    pub fn of(families: Families, v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        Self {
            v4: families.has(Family::V4).then_some(v4),
            v6: families.has(Family::V6).then_some(v6),
            ipv6_first: families.begin_with_ipv6(),
        }
    }

    /// Every address, that of the cluster's primary family first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        in_order(self.ipv6_first, self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6))
    }

    /// The address of `family`.
    pub fn of_family(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Only the address of `family`.
    pub fn only(self, family: Family) -> Self {
        Self {
            v4: self.v4.filter(|_| family == Family::V4),
            v6: self.v6.filter(|_| family == Family::V6),
            ..self
        }
    }

    /// The address that goes where Kubernetes has room for only one.
    pub fn primary(&self) -> Option<IpAddr> {
        self.iter().next()
    }

    /// This address and the prefix of `prefixes` of the same family, for each family both have.
    pub fn with_prefixes(&self, prefixes: &Prefixes) -> Vec<IpNet> {
        self.iter()
            .filter_map(|address| IpNet::new(address, prefixes.of_family(address)?.prefix_len()).ok())
            .collect()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.iter().map(|address| address.to_string()).collect();
        formatter.write_str(&all.join(","))
    }
}

/// The primary one of two first.
fn in_order<T>(ipv6_first: bool, v4: Option<T>, v6: Option<T>) -> impl Iterator<Item = T> {
    let both = if ipv6_first { [v6, v4] } else { [v4, v6] };
    both.into_iter().flatten()
}

/// A network's prefix in each family it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefixes {
    /// Its IPv4 prefix.
    pub v4: Option<Ipv4Net>,
    /// Its IPv6 prefix.
    pub v6: Option<Ipv6Net>,
    /// Whether the IPv6 prefix is the primary one of the two.
    pub ipv6_first: bool,
}

impl Prefixes {
    /// IPv4 only.
    pub const fn v4(prefix: Ipv4Net) -> Self {
        Self {
            v4: Some(prefix),
            v6: None,
            ipv6_first: false,
        }
    }

    /// Those of the two that are of `families`.
    pub fn of(families: Families, v4: Ipv4Net, v6: Ipv6Net) -> Self {
        Self {
            v4: families.has(Family::V4).then_some(v4),
            v6: families.has(Family::V6).then_some(v6),
            ipv6_first: families.begin_with_ipv6(),
        }
    }

    /// Every prefix, that of the cluster's primary family first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + use<> {
        in_order(self.ipv6_first, self.v4.map(IpNet::V4), self.v6.map(IpNet::V6))
    }

    /// The prefix that goes where Kubernetes has room for only one.
    pub fn primary(&self) -> Option<IpNet> {
        self.iter().next()
    }

    /// The prefix of `address`'s family.
    pub fn of_family(&self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(_) => self.v4.map(IpNet::V4),
            IpAddr::V6(_) => self.v6.map(IpNet::V6),
        }
    }

    /// True if `address` lies in one of the prefixes.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.of_family(address).is_some_and(|prefix| prefix.contains(&address))
    }

    /// The `index`-th address of each prefix; a family whose prefix is too small for it is left out.
    pub fn nth(&self, index: u32) -> Addresses {
        Addresses {
            v4: self.v4.and_then(|prefix| nth_v4(prefix, index)),
            v6: self.v6.and_then(|prefix| nth_v6(prefix, index)),
            ipv6_first: self.ipv6_first,
        }
    }

    /// How many addresses the smallest family has.
    pub fn capacity(&self) -> u32 {
        let v4 = self.v4.map(|prefix| {
            1_u32
                .checked_shl(u32::from(32 - prefix.prefix_len()))
                .unwrap_or(u32::MAX)
        });
        let v6 = self.v6.map(|prefix| {
            1_u32
                .checked_shl(u32::from(128 - prefix.prefix_len()))
                .unwrap_or(u32::MAX)
        });
        v4.into_iter().chain(v6).min().unwrap_or_default()
    }
}

fn nth_v4(prefix: Ipv4Net, index: u32) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(u32::from(prefix.network()).checked_add(index)?);
    prefix.contains(&address).then_some(address)
}

fn nth_v6(prefix: Ipv6Net, index: u32) -> Option<Ipv6Addr> {
    let address = Ipv6Addr::from(u128::from(prefix.network()).checked_add(u128::from(index))?);
    prefix.contains(&address).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dual() -> Prefixes {
        Prefixes {
            v4: "10.244.1.0/24".parse().ok(),
            v6: "fd00:10:244:1::/64".parse().ok(),
            ipv6_first: false,
        }
    }

    #[test]
    fn the_nth_address_is_taken_from_each_family() {
        let addresses = dual().nth(2);
        assert_eq!(addresses.to_string(), "10.244.1.2,fd00:10:244:1::2");
        assert_eq!(addresses.primary(), "10.244.1.2".parse().ok());
    }

    #[test]
    fn the_primary_family_comes_first() {
        let prefixes = Prefixes {
            ipv6_first: true,
            ..dual()
        };
        assert_eq!(prefixes.nth(2).to_string(), "fd00:10:244:1::2,10.244.1.2");
        assert_eq!(prefixes.primary(), "fd00:10:244:1::/64".parse().ok());
        let only = |families| Prefixes::of(families, dual().v4.expect("valid"), dual().v6.expect("valid"));
        assert_eq!(only(Families::Ipv6).nth(2).to_string(), "fd00:10:244:1::2");
        assert_eq!(only(Families::Ipv4).nth(2).to_string(), "10.244.1.2");
        assert_eq!(only(Families::DualStackIpv6First), prefixes);
    }

    #[test]
    fn an_index_beyond_a_prefix_leaves_that_family_out() {
        assert_eq!(dual().nth(256).v4, None);
        assert!(dual().nth(256).v6.is_some());
        assert_eq!(dual().capacity(), 256);
    }

    #[test]
    fn an_address_takes_the_prefix_length_of_its_family() {
        let nets: Vec<String> = dual()
            .nth(5)
            .with_prefixes(&dual())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(nets, ["10.244.1.5/24", "fd00:10:244:1::5/64"]);
    }
}
