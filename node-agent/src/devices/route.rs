//! By which device packets leave, as the kernel's own routing says.

use super::watch::Error;
use futures::TryStreamExt;
use rtnetlink::{RouteMessageBuilder, new_connection, packet_route::route::RouteAttribute};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Index of the device by which a packet of this node to this address leaves; none: there is no way. The device is `lo` for an address of
/// the node's own.
pub async fn way_to(to: IpAddr) -> Result<Option<u32>, Error> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let question = match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, 32)
            .build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, 128)
            .build(),
    };
    // An error is the answer that there is none.
    let route = handle.route().get(question).execute().try_next().await.ok().flatten();
    connection.abort();
    Ok(route.and_then(|route| {
        route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(ifindex) => Some(*ifindex),
            _ => None,
        })
    }))
}
