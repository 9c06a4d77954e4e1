//! What is compared: frontends as kube-proxy's rules and kpr's maps both have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;

use crate::model::{Kind, Protocol};

/// Where clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Address and port; the unspecified address stands for every address of the node (a NodePort).
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
}

/// Frontends by where they are.
pub(super) type Frontends = BTreeMap<Key, Frontend>;

/// Addresses of backends.
pub(super) type Backends = BTreeSet<SocketAddr>;

/// A frontend. Rules do not show all of it: what is none is not known, and not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frontend {
    /// The Service's port, as kube-proxy's comments have it: `namespace/name:port`.
    pub(super) name: Option<String>,
    pub(super) kind: Option<Kind>,
    /// Whom clients are led to, by the traffic policy that is theirs. With an external policy `Local`: clients outside.
    pub(super) backends: Backends,
    pub(super) policy: Option<Policy>,
    /// Whom this node and its pods are led to where an external policy is `Local`.
    pub(super) from_node: Option<Backends>,
    pub(super) affinity: Option<Affinity>,
    pub(super) sources: Option<Sources>,
    /// What clients get where there is no backend for them.
    pub(super) refusal: Option<Refusal>,
}

/// Which of a Service's endpoints take traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// All.
    Cluster,
    /// Those on this node.
    Local,
}

/// Whether clients stick to their backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    /// They don't.
    None,
    /// They do, until they have been idle for so many seconds.
    Seconds(u32),
}

/// What clients get in the place of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An answer that says that nobody is there.
    Reject,
    /// Nothing: other nodes have endpoints.
    Drop,
}

/// Who may connect. Ranges that say the same are the same: they are as few as can be, and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources(Vec<IpNet>);

impl Key {
    /// A NodePort.
    pub(super) fn node_port(is_v6: bool, port: u16, protocol: Protocol) -> Self {
        let any: IpAddr = if is_v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        Self {
            address: SocketAddr::new(any, port),
            protocol,
        }
    }

    pub(super) fn is_node_port(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.protocol)
    }
}

impl Sources {
    /// Everyone.
    pub(super) fn everyone() -> Self {
        Self::default()
    }

    /// Those in the ranges; no range, or one of all addresses: everyone. The frontend's own address is left out: both kpr and kube-proxy
    /// add it where the node is in a range, and may know the node by other addresses.
    pub(super) fn of(ranges: impl IntoIterator<Item = IpNet>, own: IpAddr) -> Self {
        let others = ranges.into_iter().filter(|range| *range != IpNet::from(own));
        let ranges = IpNet::aggregate(&others.collect());
        if ranges.iter().any(|range| range.prefix_len() == 0) {
            Self::everyone()
        } else {
            Self(ranges)
        }
    }

    pub(super) fn ranges(&self) -> &[IpNet] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_say_the_same_are_the_same() {
        let own: IpAddr = "192.0.2.10".parse().unwrap();
        let of = |ranges: &[&str]| Sources::of(ranges.iter().map(|range| range.parse().unwrap()), own);
        assert_eq!(
            of(&["10.128.0.0/9", "10.0.0.0/9", "192.0.2.10/32"]),
            of(&["10.0.0.0/8", "10.1.0.0/16"])
        );
        assert_ne!(of(&["10.0.0.0/8"]), of(&["10.0.0.0/9"]));
        assert_eq!(of(&["10.0.0.0/8", "0.0.0.0/0"]), Sources::everyone());
    }
}
