//! Which devices carry traffic from outside: pure.

use super::Device;
use std::net::IpAddr;

/// The devices that the packet programs are attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// All of them, by interface index.
    pub devices: Vec<Device>,
    /// Name of the device whose address is the source of SNAT where the route does not say better.
    pub direct_routing: Option<String>,
}

/// Patterns that match no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no network device matches {}: name one that `ip link` shows on this node, or leave `devices` empty to have them found \
     (this node has {})", quoted(.patterns), quoted(.present)
)]
pub struct UnknownDevices {
    /// The patterns.
    pub patterns: Vec<String>,
    /// The devices that there are.
    pub present: Vec<String>,
}

/// Kinds of devices (`IFLA_INFO_KIND`) by which a CNI's overlay leads to other nodes' pods: their replies come back there.
const TUNNELS: [&str; 10] = [
    "vxlan",
    "geneve",
    "wireguard",
    "ipip",
    "sit",
    "ip6tnl",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
];

/// Whether the device is a tunnel: what leaves by it is wrapped, and leaves by another one.
pub fn is_tunnel(device: &Device) -> bool {
    TUNNELS.contains(&device.kind.as_str())
}

/// Chooses devices: those that match `patterns`, or, without patterns, those with a default route or the node's own address.
/// Tunnels that are up come along in any case, unless there is no other device.
/// `direct_routing` is the user's choice of the direct routing device, if any.
pub fn select(
    all: &[Device],
    patterns: &[String],
    direct_routing: Option<&str>,
    node_addresses: &[IpAddr],
) -> Result<Selection, UnknownDevices> {
    let holds_node_address = |device: &Device| device.addresses.iter().any(|addr| node_addresses.contains(addr));
    let mut devices: Vec<Device> = if patterns.is_empty() {
        all.iter()
            .filter(|d| d.name != "lo" && (d.has_default_route || holds_node_address(d)))
            .cloned()
            .collect()
    } else {
        all.iter()
            .filter(|d| d.name != "lo" && patterns.iter().any(|p| matches(p, &d.name)))
            .cloned()
            .collect()
    };
    let mut unknown: Vec<String> = patterns
        .iter()
        .filter(|p| !all.iter().any(|d| d.name != "lo" && matches(p, &d.name)))
        .cloned()
        .collect();
    unknown.extend(
        direct_routing
            .filter(|name| !all.iter().any(|d| matches(name, &d.name)))
            .map(ToOwned::to_owned),
    );
    if !unknown.is_empty() {
        let present = all.iter().map(|d| d.name.clone()).collect();
        return Err(UnknownDevices {
            patterns: unknown,
            present,
        });
    }
    let direct_routing = direct_routing
        .and_then(|pattern| all.iter().find(|d| matches(pattern, &d.name)))
        .or_else(|| devices.iter().find(|d| holds_node_address(d)))
        .or_else(|| devices.iter().find(|d| d.has_default_route))
        .or_else(|| devices.first())
        .map(|device| device.name.clone());
    if !devices.is_empty() {
        let chosen: Vec<u32> = devices.iter().map(|device| device.ifindex).collect();
        let tunnels = all.iter().filter(|d| d.up && is_tunnel(d));
        devices.extend(tunnels.filter(|d| !chosen.contains(&d.ifindex)).cloned());
    }
    devices.sort_unstable_by_key(|device| device.ifindex);
    Ok(Selection {
        devices,
        direct_routing,
    })
}

/// Whether a name matches a pattern: `*` stands for any run of characters, `?` for one, and a trailing `+` is `*` as Cilium
/// writes it.
fn matches(pattern: &str, name: &str) -> bool {
    fn glob(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => glob(&pattern[1..], name) || (!name.is_empty() && glob(pattern, &name[1..])),
            (Some(b'?'), Some(_)) => glob(&pattern[1..], &name[1..]),
            (Some(p), Some(n)) => p == n && glob(&pattern[1..], &name[1..]),
            _ => false,
        }
    }
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => glob(pattern.as_bytes(), name.as_bytes()),
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ifindex: u32, name: &str, addr: &str, has_default_route: bool) -> Device {
        let addresses = addr.parse().into_iter().collect();
        Device {
            name: name.into(),
            ifindex,
            addresses,
            has_default_route,
            up: true,
            kind: String::new(),
        }
    }

    fn node() -> Vec<Device> {
        vec![
            device(1, "lo", "127.0.0.1", false),
            device(2, "eth0", "192.168.49.2", true),
            device(3, "eth1", "10.0.0.2", false),
            device(4, "cni0", "10.244.0.1", false),
        ]
    }

    fn names(selection: &Selection) -> Vec<&str> {
        selection.devices.iter().map(|d| d.name.as_str()).collect()
    }

    #[test]
    fn without_patterns_the_default_route_and_the_node_address_choose() {
        let node_address = ["10.0.0.2".parse().unwrap()];
        let chosen = select(&node(), &[], None, &node_address).unwrap();
        assert_eq!(names(&chosen), ["eth0", "eth1"]);
        assert_eq!(
            chosen.direct_routing.as_deref(),
            Some("eth1"),
            "it holds the node's address"
        );
        let chosen = select(&node(), &[], None, &[]).unwrap();
        assert_eq!(names(&chosen), ["eth0"]);
        assert_eq!(chosen.direct_routing.as_deref(), Some("eth0"));
    }

    #[test]
    fn tunnels_come_along_whatever_was_chosen_but_not_alone() {
        let mut devices = node();
        for (ifindex, name, kind, up) in [
            (5, "flannel.1", "vxlan", true),
            (6, "tunl0", "ipip", false),
            (7, "wg0", "wireguard", true),
            (8, "veth1", "veth", true),
        ] {
            devices.push(Device {
                kind: kind.into(),
                up,
                ..device(ifindex, name, "10.244.0.0", false)
            });
        }
        let found = select(&devices, &[], None, &[]).unwrap();
        assert_eq!(names(&found), ["eth0", "flannel.1", "wg0"]);
        assert_eq!(found.direct_routing.as_deref(), Some("eth0"));
        let named = select(&devices, &["eth1".into(), "flannel.1".into()], None, &[]).unwrap();
        assert_eq!(names(&named), ["eth1", "flannel.1", "wg0"]);
        let outside = |d: &Device| d.name != "eth0";
        let alone: Vec<Device> = devices.into_iter().filter(outside).collect();
        assert_eq!(names(&select(&alone, &[], None, &[]).unwrap()), [""; 0]);
    }

    #[test]
    fn patterns_choose_by_name_and_never_loopback() {
        for (pattern, chosen) in [
            ("eth0", vec!["eth0"]),
            ("eth*", vec!["eth0", "eth1"]),
            ("eth+", vec!["eth0", "eth1"]),
            ("?n?0", vec!["cni0"]),
            ("*", vec!["eth0", "eth1", "cni0"]),
        ] {
            assert_eq!(
                names(&select(&node(), &[pattern.into()], None, &[]).unwrap()),
                chosen,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_named_with_what_there_is() {
        let error = select(&node(), &["eth0".into(), "ens3".into()], None, &[]).unwrap_err();
        assert_eq!(error.patterns, ["ens3"]);
        assert!(
            error
                .to_string()
                .starts_with("no network device matches \"ens3\": name one that `ip link` shows")
        );
        assert!(
            select(&node(), &["lo".into()], None, &[]).is_err(),
            "loopback is no external device"
        );
        assert!(
            select(&node(), &[], Some("ens3"), &[]).is_err(),
            "nor may the direct routing device be unknown"
        );
    }
}
