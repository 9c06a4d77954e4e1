//! The node's devices, addresses, routes and routing rules, as `ip` prints them; no program has to be on the node.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures::TryStreamExt as _;
use rtnetlink::{
    Handle, IpVersion, RouteMessageBuilder, new_connection,
    packet_route::{
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage},
        rule::{RuleAttribute, RuleMessage},
    },
};

/// Routes of a node that speaks BGP may be as many as the Internet has.
const MOST_ROUTES: usize = 10_000;

/// Each in a file of its own.
pub(super) struct Network {
    pub(super) devices: anyhow::Result<String>,
    pub(super) routes: anyhow::Result<String>,
    pub(super) rules: anyhow::Result<String>,
}

/// Device names by index.
type Names = BTreeMap<u32, String>;

/// Asks the kernel, in the network namespace of this process.
pub(super) async fn look() -> anyhow::Result<Network> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let (devices, names) = match devices(&handle).await {
        Ok((devices, names)) => (Ok(devices), names),
        Err(error) => (Err(error), Names::new()),
    };
    let network = Network {
        devices,
        routes: routes(&handle, &names).await,
        rules: rules(&handle).await,
    };
    connection.abort();
    Ok(network)
}

async fn devices(handle: &Handle) -> anyhow::Result<(String, Names)> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    let mut text = String::new();
    let mut names = Names::new();
    for link in &links {
        let (name, text_of_link) = device(link);
        writeln!(text, "{text_of_link}")?;
        for address in addresses
            .iter()
            .filter(|address| address.header.index == link.header.index)
        {
            writeln!(text, "    {}", self::address(address))?;
        }
        names.insert(link.header.index, name);
    }
    Ok((text, names))
}

fn device(link: &LinkMessage) -> (String, String) {
    let (mut name, mut rest) = (String::new(), String::new());
    for attribute in &link.attributes {
        // Writing to a string can't fail.
        let _ = match attribute {
            LinkAttribute::IfName(value) => {
                name.clone_from(value);
                Ok(())
            }
            LinkAttribute::Mtu(value) => write!(rest, " mtu {value}"),
            LinkAttribute::Controller(value) => write!(rest, " master {value}"),
            LinkAttribute::OperState(value) => write!(rest, " state {value:?}"),
            LinkAttribute::LinkInfo(infos) => infos.iter().try_for_each(|info| match info {
                LinkInfo::Kind(kind) => write!(rest, " kind {kind}"),
                _ => Ok(()),
            }),
            _ => Ok(()),
        };
    }
    let up = if link.header.flags.contains(LinkFlags::Up) {
        "up"
    } else {
        "down"
    };
    let text = format!("{}: {name} {up}{rest}", link.header.index);
    (name, text)
}

fn address(address: &AddressMessage) -> String {
    // On point-to-point devices `Address` is the peer and `Local` the device's own.
    let (mut own, mut peer) = (None, None);
    for attribute in &address.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            _ => {}
        }
    }
    let bits = address.header.prefix_len;
    match (own, peer) {
        (Some(own), Some(peer)) if own != peer => format!("{own} peer {peer}/{bits}"),
        (Some(own), _) | (None, Some(own)) => format!("{own}/{bits}"),
        (None, None) => "no address".to_owned(),
    }
}

async fn routes(handle: &Handle, names: &Names) -> anyhow::Result<String> {
    let mut text = String::new();
    for request in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let mut routes = handle.route().get(request).execute();
        let mut count = 0;
        while let Some(found) = routes.try_next().await? {
            count += 1;
            if count > MOST_ROUTES {
                writeln!(text, "(cut off after {MOST_ROUTES})")?;
                break;
            }
            writeln!(text, "{}", route(&found, names))?;
        }
    }
    Ok(text)
}

fn route(route: &RouteMessage, names: &Names) -> String {
    let (mut to, mut rest, mut table) = (None, String::new(), u32::from(route.header.table));
    let device = |index: &u32| names.get(index).map_or_else(|| index.to_string(), Clone::clone);
    for attribute in &route.attributes {
        let _ = match attribute {
            RouteAttribute::Destination(address) => {
                to = ip(address);
                Ok(())
            }
            RouteAttribute::Table(value) => {
                table = *value;
                Ok(())
            }
            RouteAttribute::Gateway(address) => ip(address).map_or(Ok(()), |ip| write!(rest, " via {ip}")),
            RouteAttribute::Oif(index) => write!(rest, " dev {}", device(index)),
            RouteAttribute::PrefSource(address) => ip(address).map_or(Ok(()), |ip| write!(rest, " src {ip}")),
            RouteAttribute::Priority(value) => write!(rest, " metric {value}"),
            RouteAttribute::MultiPath(hops) => hops
                .iter()
                .try_for_each(|hop| write!(rest, " nexthop dev {}", device(&hop.interface_index))),
            _ => Ok(()),
        };
    }
    let to = to.map_or_else(
        || "default".to_owned(),
        |ip| format!("{ip}/{}", route.header.destination_prefix_length),
    );
    let kind = format!("{:?}", route.header.kind).to_lowercase();
    format!("{kind} {to}{rest} table {table} proto {:?}", route.header.protocol)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

async fn rules(handle: &Handle) -> anyhow::Result<String> {
    let mut text = String::new();
    for (version, family) in [(IpVersion::V4, "IPv4"), (IpVersion::V6, "IPv6")] {
        let mut rules = handle.rule().get(version).execute();
        while let Some(found) = rules.try_next().await? {
            writeln!(text, "{family} {}", rule(&found))?;
        }
    }
    Ok(text)
}

fn rule(rule: &RuleMessage) -> String {
    let (mut priority, mut rest, mut table) = (0, String::new(), u32::from(rule.header.table));
    for attribute in &rule.attributes {
        let _ = match attribute {
            RuleAttribute::Priority(value) => {
                priority = *value;
                Ok(())
            }
            RuleAttribute::Table(value) => {
                table = *value;
                Ok(())
            }
            RuleAttribute::Source(ip) => write!(rest, " from {ip}/{}", rule.header.src_len),
            RuleAttribute::Destination(ip) => write!(rest, " to {ip}/{}", rule.header.dst_len),
            RuleAttribute::FwMark(mark) => write!(rest, " fwmark {mark:#x}"),
            RuleAttribute::FwMask(mask) => write!(rest, "/{mask:#x}"),
            RuleAttribute::Iifname(name) => write!(rest, " iif {name}"),
            RuleAttribute::Oifname(name) => write!(rest, " oif {name}"),
            _ => Ok(()),
        };
    }
    format!("{priority}:{rest} lookup {table} ({:?})", rule.header.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_machine_has_a_loopback_with_its_address_and_its_rules() {
        let network = look().await.unwrap();
        let devices = network.devices.unwrap();
        assert!(devices.contains("1: lo "), "{devices}");
        let rules = network.rules.unwrap();
        assert!(rules.contains("IPv4 0: lookup 255"), "{rules}");
        network.routes.unwrap();
    }
}
