//! Which backends clients stick to.

use super::{
    super::{Error, batches::Batches, sys, tables::MapFamily},
    open, unreadable,
};
use kpr_abi::{Address as _, AffinityKey, AffinityValue};
use std::{net::IpAddr, os::fd::AsFd as _, path::Path};

/// A client that sticks to a backend, for as long as both the time and the backend last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; none for sockets of this node and its pods.
    pub address: Option<IpAddr>,
    /// The network namespace that its socket is in (`SO_NETNS_COOKIE`); 0 for clients outside.
    pub netns: u64,
    /// What frontends of one service port have in common ([`ServiceValue::affinity_group`](kpr_abi::ServiceValue::affinity_group)).
    pub group: u32,
    /// The backend's id.
    pub backend: u32,
    /// When it last began a connection, in seconds of [`flow_clock`](crate::datapath::flow_clock).
    pub last_used: u32,
}

/// Hands out every client of a family that the map pinned under `bpffs_root` remembers, some thousand at a time; `false` if no
/// datapath is there.
pub fn affinity<F: MapFamily, E: From<Error>>(
    bpffs_root: &Path,
    mut part: impl FnMut(Vec<Client>) -> Result<(), E>,
) -> Result<bool, E> {
    let Some(map) = open(bpffs_root, F::AFFINITY)? else {
        return Ok(false);
    };
    let mut batches = Batches::<AffinityKey<F::Addr>, AffinityValue>::of(map.as_fd());
    while let Some(entries) = batches.next().map_err(unreadable(F::AFFINITY))? {
        part(entries.map(|(key, value)| client::<F>(key, value)).collect())?;
    }
    Ok(true)
}

/// The node's own network namespace, as [`Client::netns`] has it; none on kernels that don't tell.
pub fn own_netns() -> Option<u64> {
    sys::netns_cookie().ok()
}

fn client<F: MapFamily>(key: &AffinityKey<F::Addr>, value: &AffinityValue) -> Client {
    let ip: F::Ip = key.client.into();
    let [low, high] = key.netns;
    Client {
        address: (key.client != F::Addr::ANY).then(|| ip.into()),
        netns: u64::from(low) | u64::from(high) << 32,
        group: key.group,
        backend: value.backend,
        last_used: value.last_used,
    }
}
