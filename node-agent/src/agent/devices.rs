//! Which devices serve external traffic, and which addresses serve NodePorts.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use kpr_crds::NodeDatapathSpec;

use crate::devices::{Device, Selection, UnknownDevices, select};

/// What the datapath is to be attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The devices.
    pub selection: Selection,
    /// The addresses that serve NodePorts, with their interface indices.
    pub local: Vec<(Ipv4Addr, u32)>,
    /// Source address of SNAT where the packet does not leave by a device of `snat_by_device`, such as a CNI's tunnel:
    /// the reply then comes back to a device that the datapath is attached to.
    pub snat_default: Option<Ipv4Addr>,
    /// Source address of SNAT by the interface index that the packet leaves by.
    pub snat_by_device: Vec<(u32, Ipv4Addr)>,
}

/// Why there are no devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The configuration names devices that are not there.
    #[error(transparent)]
    Unknown(#[from] UnknownDevices),
    /// None was named and none was found.
    #[error(
        "no network device leads outside: none has a default route or the Node's address; name one in spec.devices (this \
         node has {present})"
    )]
    None {
        /// The devices that there are.
        present: String,
    },
}

/// Chooses devices and addresses. `node_ips`: the Node object's internal addresses.
pub(super) fn place(all: &[Device], spec: &NodeDatapathSpec, node_ips: &[IpAddr]) -> Result<Placement, PlacementError> {
    let selection = select(all, &spec.devices, spec.direct_routing_device.as_deref(), node_ips)?;
    if selection.devices.is_empty() {
        let present = all
            .iter()
            .map(|device| device.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(PlacementError::None { present });
    }
    let wanted = Addresses::parse(&spec.node_port.addresses);
    let mut local: Vec<_> = all
        .iter()
        .flat_map(|device| device.addresses.iter().map(|addr| (*addr, device.ifindex)))
        .filter(|(addr, _)| wanted.includes(*addr, node_ips))
        .filter_map(|(addr, ifindex)| match addr {
            IpAddr::V4(addr) => Some((addr, ifindex)),
            IpAddr::V6(_) => None,
        })
        .collect();
    local.sort_unstable();
    // An address can be on two devices (anycast on dummies): NodePorts are served on it all the same.
    local.dedup_by_key(|(addr, _)| *addr);
    let direct = selection.direct_routing.as_deref();
    Ok(Placement {
        local,
        snat_default: all
            .iter()
            .find(|device| Some(device.name.as_str()) == direct)
            .and_then(Device::ipv4),
        snat_by_device: selection
            .devices
            .iter()
            .filter_map(|device| Some((device.ifindex, device.ipv4()?)))
            .collect(),
        selection,
    })
}

/// `spec.nodePort.addresses`.
struct Addresses {
    all: bool,
    primary: bool,
    localhost: bool,
    nets: Vec<IpNet>,
}

impl Addresses {
    fn parse(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|w| w == word);
        Self {
            all: has("all"),
            primary: has("primary"),
            localhost: has("localhost"),
            nets: words.iter().filter_map(|word| word.parse().ok()).collect(),
        }
    }

    fn includes(&self, addr: IpAddr, node_ips: &[IpAddr]) -> bool {
        self.all
            || (self.primary && node_ips.contains(&addr))
            || (self.localhost && addr.is_loopback())
            || self.nets.iter().any(|net| net.contains(&addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ifindex: u32, name: &str, addr: &str, has_default_route: bool) -> Device {
        Device {
            name: name.into(),
            ifindex,
            addresses: vec![addr.parse().unwrap()],
            has_default_route,
            up: true,
            kind: String::new(),
        }
    }

    fn node() -> Vec<Device> {
        vec![
            device(1, "lo", "127.0.0.1", false),
            device(2, "eth0", "192.168.49.2", true),
            device(3, "cni0", "10.244.0.1", false),
        ]
    }

    fn local(addresses: &[&str]) -> Vec<String> {
        let mut spec = NodeDatapathSpec::default();
        spec.node_port.addresses = addresses.iter().map(|&a| a.to_owned()).collect();
        let placed = place(&node(), &spec, &["192.168.49.2".parse().unwrap()]).unwrap();
        placed.local.iter().map(|(addr, _)| addr.to_string()).collect()
    }

    #[test]
    fn node_port_addresses_are_those_that_the_words_and_cidrs_name() {
        let table: [(&[&str], &[&str]); 5] = [
            (&["all"], &["10.244.0.1", "127.0.0.1", "192.168.49.2"]),
            (&["primary"], &["192.168.49.2"]),
            (&["localhost"], &["127.0.0.1"]),
            (&["10.0.0.0/8", "primary"], &["10.244.0.1", "192.168.49.2"]),
            (&["172.16.0.0/12"], &[]),
        ];
        for (words, addresses) in table {
            assert_eq!(local(words), addresses, "{words:?}");
        }
    }

    #[test]
    fn snat_uses_the_address_of_the_device_that_the_packet_leaves_by() {
        let mut devices = node();
        devices.push(device(4, "eth1", "10.0.0.2", true));
        let placed = place(
            &devices,
            &NodeDatapathSpec::default(),
            &["192.168.49.2".parse().unwrap()],
        )
        .unwrap();
        assert_eq!(placed.snat_default, Some(Ipv4Addr::new(192, 168, 49, 2)));
        let eth0 = (2, Ipv4Addr::new(192, 168, 49, 2));
        let eth1 = (4, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(placed.snat_by_device, [eth0, eth1], "cni0 does not lead outside");
    }

    #[test]
    fn a_node_without_a_way_outside_says_what_it_has() {
        let error = place(
            &[device(1, "lo", "127.0.0.1", false)],
            &NodeDatapathSpec::default(),
            &[],
        )
        .unwrap_err();
        assert!(error.to_string().contains("this node has lo"), "{error}");
    }

    #[test]
    fn an_unknown_device_is_named() {
        let spec = NodeDatapathSpec {
            devices: vec!["ens9".into()],
            ..NodeDatapathSpec::default()
        };
        let error = place(&node(), &spec, &[]).unwrap_err().to_string();
        assert!(error.contains("ens9"), "{error}");
    }
}
