//! What the model needs of an address family beyond its map types.

use std::{hash::Hash, net::IpAddr};

use kpr_abi::{Address, Family, V4, V6};

/// An address family whose addresses can be told apart from the other's: dual-stack objects carry both.
pub trait IpFamily: Family + Eq + Ord + Hash {
    /// The address, if it is of this family.
    fn pick(addr: IpAddr) -> Option<Self::Ip>;

    /// What stands for "any address of this node" among addresses of this family.
    fn any() -> IpAddr {
        let any: Self::Ip = Self::Addr::ANY.into();
        any.into()
    }
}

impl IpFamily for V4 {
    fn pick(addr: IpAddr) -> Option<Self::Ip> {
        match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        }
    }
}

impl IpFamily for V6 {
    fn pick(addr: IpAddr) -> Option<Self::Ip> {
        match addr {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        }
    }
}
