//! Devices on which the kernel drops IPv4 packets that do not come by the way that an answer to their source would take
//! (`net.ipv4.conf.*.rp_filter`, RFC 3704 §2.2). A client's packet that another node sent encapsulated by the CNI's tunnel is such a one:
//! the answer leaves by the device that leads outside. IPv6 has no such check.

use std::{net::IpAddr, path::Path};

use super::reserved_ports::read;
use crate::devices::{Device, is_tunnel};

/// `rp_filter` of a device with the check.
const STRICT: u32 = 1;

/// The names of the tunnels among a node's devices that have the check, if the node speaks IPv4.
pub(super) fn strict_tunnels(devices: &[Device], sysctl_root: &Path) -> Vec<String> {
    let speaks_ipv4 = devices
        .iter()
        .any(|device| device.addresses.iter().any(IpAddr::is_ipv4));
    let tunnels = devices.iter().filter(|device| speaks_ipv4 && is_tunnel(device));
    tunnels
        .filter(|tunnel| is_strict(&tunnel.name, sysctl_root))
        .map(|tunnel| tunnel.name.clone())
        .collect()
}

/// In force is the larger one of the device's value and that of all devices: 2 takes a packet if there is any way back.
fn is_strict(device: &str, sysctl_root: &Path) -> bool {
    let value = |of: &str| {
        let sysctl = sysctl_root.join("net/ipv4/conf").join(of).join("rp_filter");
        // One that can't be read is of a device that has just gone.
        read(&sysctl).ok()?.parse::<u32>().ok()
    };
    value("all").max(value(device)) == Some(STRICT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

    use std::fs;

    use super::*;

    fn device(name: &str, kind: &str, address: &str) -> Device {
        Device {
            name: name.to_owned(),
            ifindex: 1,
            addresses: vec![address.parse().unwrap()],
            has_default_route: false,
            up: true,
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn the_larger_value_counts_and_only_for_tunnels_of_nodes_with_ipv4() {
        let root = tempfile::tempdir().unwrap();
        let set = |of: &str, value: &str| {
            let directory = root.path().join("net/ipv4/conf").join(of);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("rp_filter"), format!("{value}\n")).unwrap();
        };
        let devices = [
            device("eth0", "veth", "192.168.49.2"),
            device("flannel.1", "vxlan", "10.244.0.0"),
        ];
        for (all, own, strict) in [
            ("0", "0", false),
            ("0", "1", true),
            ("1", "0", true),
            ("1", "1", true),
            ("1", "2", false),
            ("2", "1", false),
        ] {
            set("all", all);
            set("eth0", "1");
            set("flannel.1", own);
            let found = strict_tunnels(&devices, root.path());
            assert_eq!(found == ["flannel.1"], strict, "all {all}, flannel.1 {own}: {found:?}");
            assert_eq!(found.is_empty(), !strict, "all {all}, flannel.1 {own}: {found:?}");
        }
        set("all", "1");
        set("flannel.1", "1");
        let only_ipv6 = [
            device("eth0", "veth", "fd00:49::2"),
            device("flannel.1", "vxlan", "fd00:10:244::"),
        ];
        assert_eq!(strict_tunnels(&only_ipv6, root.path()), [""; 0]);
        assert_eq!(
            strict_tunnels(&[device("wg0", "wireguard", "10.9.0.1")], Path::new("/nonexistent")),
            [""; 0]
        );
    }
}
