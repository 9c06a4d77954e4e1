//! Where health check ports are to be open.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;

use crate::{agent::Snapshot, model::NamespacedName, observe::api::Phase};

/// A health check port on one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The Service whose endpoints it counts.
    pub service: NamespacedName,
    /// Where; the unspecified IPv6 address stands for all addresses of both families.
    pub address: SocketAddr,
}

/// Health check ports on the addresses that `spec.nodePort.addresses` asks for. None once the datapath is removed, and
/// none before it is known which addresses the node has.
pub fn listeners(snapshot: &Snapshot) -> BTreeSet<Listener> {
    if !is_serving(snapshot) {
        return BTreeSet::new();
    }
    let addresses = addresses(snapshot);
    let checks = snapshot.health_checks.iter();
    checks
        .flat_map(|check| {
            addresses.iter().map(|&address| Listener {
                service: check.service.clone(),
                address: SocketAddr::new(address, check.port),
            })
        })
        .collect()
}

/// Whether this node's Services are ours to serve, well or badly.
pub(super) fn is_serving(snapshot: &Snapshot) -> bool {
    match snapshot.phase {
        Phase::Syncing | Phase::Active | Phase::Failed | Phase::Draining => true,
        Phase::Waiting | Phase::Removed => false,
    }
}

fn addresses(snapshot: &Snapshot) -> Vec<IpAddr> {
    let Some(applied) = &snapshot.applied else {
        return Vec::new();
    };
    let words = &applied.spec.node_port.addresses;
    // A prefix without any bits, of whichever family, leaves nothing out.
    let is_all = |word: &String| word == "all" || word.parse().is_ok_and(|net: IpNet| net.prefix_len() == 0);
    if words.is_empty() || words.iter().any(is_all) {
        return vec![Ipv6Addr::UNSPECIFIED.into()];
    }
    let Some(placement) = &snapshot.placement else {
        return Vec::new();
    };
    let v4 = placement.v4.local.iter().map(|(address, _)| IpAddr::from(*address));
    let v6 = placement.v6.local.iter().map(|(address, _)| IpAddr::from(*address));
    v4.chain(v6).collect()
}
