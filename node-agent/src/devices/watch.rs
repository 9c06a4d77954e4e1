//! The node's devices as netlink tells them, now and whenever they change.

use super::Device;
use futures::{StreamExt, TryStreamExt, channel::mpsc::UnboundedReceiver};
use rtnetlink::{
    Handle, IpVersion, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
    packet_route::{
        AddressFamily,
        address::AddressAttribute,
        link::{LinkAttribute, LinkFlags, LinkInfo},
        route::{RouteAttribute, RouteMessage, RouteType},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// Changes come in bursts: a device, its addresses, its routes. One look after this long serves all.
const SETTLE: Duration = Duration::from_millis(100);

/// Why the devices can't be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Open(#[from] io::Error),
    /// The kernel refused a request.
    #[error("cannot list the network devices")]
    List(#[from] rtnetlink::Error),
    /// The netlink socket ended.
    #[error("the netlink socket was closed")]
    Closed,
}

/// Tells the devices of the network namespace that it was made in.
pub struct Watcher {
    handle: Handle,
    changes: UnboundedReceiver<Message>,
    last: Option<Vec<Device>>,
    connection: tokio::task::JoinHandle<()>,
}

type Message = (
    rtnetlink::packet_core::NetlinkMessage<rtnetlink::packet_route::RouteNetlinkMessage>,
    rtnetlink::sys::SocketAddr,
);

impl Watcher {
    /// Opens the netlink socket. Needs a tokio runtime.
    pub fn new() -> Result<Self, Error> {
        let (connection, handle, changes) = new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])?;
        Ok(Self {
            handle,
            changes,
            last: None,
            connection: tokio::spawn(connection),
        })
    }

    /// The devices: at once the first time, later as soon as they differ from what was told last.
    pub async fn next(&mut self) -> Result<Vec<Device>, Error> {
        loop {
            if self.last.is_some() {
                self.changes.next().await.ok_or(Error::Closed)?;
                tokio::time::sleep(SETTLE).await;
                while self.changes.try_recv().is_ok() {}
            }
            let devices = snapshot(&self.handle).await?;
            if self.last.as_ref() != Some(&devices) {
                self.last = Some(devices.clone());
                return Ok(devices);
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The devices as they are now.
pub async fn list() -> Result<Vec<Device>, Error> {
    Watcher::new()?.next().await
}

async fn snapshot(handle: &Handle) -> Result<Vec<Device>, Error> {
    let mut devices = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let (mut name, mut kind) = (String::new(), String::new());
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(value) => name = value,
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(value) = info {
                            kind = value.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        let up = link.header.flags.contains(LinkFlags::Up);
        let ifindex = link.header.index;
        devices.insert(
            ifindex,
            Device {
                name,
                ifindex,
                addresses: Vec::new(),
                has_default_route: false,
                up,
                kind,
            },
        );
    }
    let mut addresses = handle.address().get().execute();
    while let Some(address) = addresses.try_next().await? {
        // On point-to-point devices `Address` is the peer and `Local` the device's own.
        let (mut own, mut peer) = (None, None);
        for attribute in &address.attributes {
            match attribute {
                AddressAttribute::Local(addr) => own = Some(*addr),
                AddressAttribute::Address(addr) => peer = Some(*addr),
                _ => {}
            }
        }
        if let (Some(addr), Some(device)) = (own.or(peer), devices.get_mut(&address.header.index))
            && !is_link_local(addr)
        {
            device.addresses.push(addr);
        }
    }
    for ifindex in default_route_devices(handle).await? {
        if let Some(device) = devices.get_mut(&ifindex) {
            device.has_default_route = true;
        }
    }
    Ok(devices.into_values().collect())
}

async fn default_route_devices(handle: &Handle) -> Result<BTreeSet<u32>, Error> {
    let mut found = BTreeSet::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let request = match version {
            IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let mut routes = handle.route().get(request).execute();
        loop {
            match routes.try_next().await {
                Ok(Some(route)) => found.extend(default_route_device(&route)),
                Ok(None) => break,
                // A kernel without IPv6 has no such routes.
                Err(_) if matches!(version, IpVersion::V6) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(found)
}

fn default_route_device(route: &RouteMessage) -> Option<u32> {
    let header = &route.header;
    // In whichever table: rules may send a device's own traffic to a table of its own.
    let usable = header.destination_prefix_length == 0
        && header.kind == RouteType::Unicast
        && matches!(header.address_family, AddressFamily::Inet | AddressFamily::Inet6);
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(ifindex) if usable => Some(*ifindex),
        RouteAttribute::MultiPath(hops) if usable => hops.first().map(|hop| hop.interface_index),
        _ => None,
    })
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
