//! Addresses and prefixes of one or both families.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What a node, pod or client is reached at: one address of each family it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Addresses {
    /// IPv4 only.
    pub const fn v4(address: Ipv4Addr) -> Self {
        Self {
            v4: Some(address),
            v6: None,
        }
    }

    /// Every address, the cluster's primary family (IPv4 when there is one) first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
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

/// A network's prefix in each family it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefixes {
    /// Its IPv4 prefix.
    pub v4: Option<Ipv4Net>,
    /// Its IPv6 prefix.
    pub v6: Option<Ipv6Net>,
}

impl Prefixes {
    /// IPv4 only.
    pub const fn v4(prefix: Ipv4Net) -> Self {
        Self {
            v4: Some(prefix),
            v6: None,
        }
    }

    /// Every prefix, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + use<> {
        self.v4.map(IpNet::V4).into_iter().chain(self.v6.map(IpNet::V6))
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
        }
    }

    #[test]
    fn the_nth_address_is_taken_from_each_family() {
        let addresses = dual().nth(2);
        assert_eq!(addresses.to_string(), "10.244.1.2,fd00:10:244:1::2");
        assert_eq!(addresses.primary(), "10.244.1.2".parse().ok());
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
