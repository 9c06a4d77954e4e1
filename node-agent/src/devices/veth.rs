//! The other end of a pod's device, told from inside of its network namespace.

use super::watch::Error;
use futures::TryStreamExt;
use nix::ifaddrs::getifaddrs;
use rtnetlink::{new_connection, packet_route::link::LinkAttribute};
use std::{collections::BTreeSet, net::IpAddr};

/// What the namespace that this thread is in has of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Index that the device which has the address has in its own namespace.
    pub ifindex: u32,
    /// Index that its other end has, of a veth, in the namespace where that is.
    pub peer: Option<u32>,
}

/// The device that has the address; none: no device of this namespace has it. Blocks for one netlink request.
pub fn holder(address: IpAddr) -> Result<Option<Holder>, Error> {
    let addresses = getifaddrs().map_err(|errno| Error::Open(errno.into()))?;
    let has_it = addresses.filter(|found| {
        let address_of = found.address.as_ref();
        let ip = address_of.and_then(|found| {
            let v4 = found.as_sockaddr_in().map(|found| IpAddr::from(found.ip()));
            v4.or_else(|| found.as_sockaddr_in6().map(|found| found.ip().into()))
        });
        ip == Some(address)
    });
    let names: BTreeSet<String> = has_it.map(|found| found.interface_name).collect();
    let Some(name) = names.first() else {
        return Ok(None);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection()?;
        let connection = tokio::spawn(connection);
        let link = handle
            .link()
            .get()
            .match_name(name.clone())
            .execute()
            .try_next()
            .await?;
        connection.abort();
        Ok(link.map(|link| Holder {
            ifindex: link.header.index,
            peer: link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Link(peer) => Some(*peer),
                _ => None,
            }),
        }))
    })
}
