//! Lines that several kinds of wiring share.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::spec::NodeSpec;

/// Gives `device` its addresses. Duplicate address detection would keep an IPv6 address unusable for a second.
pub(in crate::net) fn set_addresses(device: &str, addresses: &[IpNet]) -> Vec<String> {
    let nodad = |address: &IpNet| if address.addr().is_ipv6() { " nodad" } else { "" };
    addresses
        .iter()
        .map(|address| format!("addr add {address} dev {device}{}", nodad(address)))
        .collect()
}

/// Other nodes' pods are behind these nodes.
pub(super) fn routes_to(others: &[&NodeSpec]) -> Vec<String> {
    let mut script = Vec::new();
    for other in others {
        for cidr in other.pod_cidrs.iter() {
            let same_family = |address: &IpAddr| address.is_ipv4() == cidr.addr().is_ipv4();
            if let Some(via) = other.addresses.iter().find(same_family) {
                script.push(format!("route add {cidr} via {via}"));
            }
        }
    }
    script
}

/// An address for a device that must keep it: locally administered, made of a prefix that says what it is for and of an IP
/// address.
pub(super) fn mac(prefix: [u8; 2], address: Option<IpAddr>) -> String {
    let octets = match address {
        Some(IpAddr::V4(address)) => address.octets(),
        // Addresses of one network differ at their end.
        Some(IpAddr::V6(address)) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
        None => [0, 0, 0, 1],
    };
    let bytes = prefix.iter().chain(&octets).map(|byte| format!("{byte:02x}"));
    bytes.collect::<Vec<_>>().join(":")
}
