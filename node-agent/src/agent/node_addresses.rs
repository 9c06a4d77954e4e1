//! What the datapath must know of the node's addresses of one family.

use std::net::IpAddr;

use ipnet::IpNet;
use kpr_abi::Family;

use crate::{
    devices::{Device, Selection},
    model::IpFamily,
};

/// The node's addresses of one family. A node without any has none here, and nothing is wrong with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddresses<F: Family> {
    /// The addresses that serve NodePorts, with their interface indices.
    pub local: Vec<(F::Ip, u32)>,
    /// The node's other addresses: hostPorts, which a user asks for with a Pod, are served on every one.
    pub host_ports_only: Vec<(F::Ip, u32)>,
    /// Source address of SNAT where the packet does not leave by a device of `snat_by_device`, such as a CNI's tunnel:
    /// the reply then comes back to a device that the datapath is attached to.
    pub snat_default: Option<F::Ip>,
    /// Source address of SNAT by the interface index that the packet leaves by.
    pub snat_by_device: Vec<(u32, F::Ip)>,
}

impl<F: Family> Default for NodeAddresses<F> {
    fn default() -> Self {
        Self {
            local: Vec::new(),
            host_ports_only: Vec::new(),
            snat_default: None,
            snat_by_device: Vec::new(),
        }
    }
}

impl<F: IpFamily> NodeAddresses<F> {
    /// Chooses among the addresses of all devices. `words`: `spec.nodePort.addresses`; `node_ips`: the Node object's
    /// internal addresses.
    pub(super) fn choose(all: &[Device], selection: &Selection, words: &[String], node_ips: &[IpAddr]) -> Self {
        let wanted = Wanted::parse::<F>(words);
        let mut own: Vec<_> = all
            .iter()
            .flat_map(|device| device.addresses.iter().map(|addr| (*addr, device.ifindex)))
            .filter(|(addr, _)| !is_never_served(*addr))
            .filter_map(|(addr, ifindex)| Some((F::pick(addr)?, ifindex)))
            .collect();
        own.sort_unstable();
        // An address can be on two devices (anycast on dummies): NodePorts are served on it all the same.
        own.dedup_by_key(|(addr, _)| *addr);
        let (local, host_ports_only) = own
            .into_iter()
            .partition(|(addr, _)| wanted.includes((*addr).into(), node_ips));

        let source = |device: &Device| snat_source::<F>(device, node_ips);
        let direct = selection.direct_routing.as_deref();
        let direct = all.iter().find(|device| Some(device.name.as_str()) == direct);
        // The direct routing device need not have an address of both families.
        let holder = selection
            .devices
            .iter()
            .find(|device| source(device).is_some_and(|addr| node_ips.contains(&addr.into())));
        Self {
            local,
            host_ports_only,
            snat_default: direct
                .into_iter()
                .chain(holder)
                .chain(&selection.devices)
                .find_map(source),
            snat_by_device: selection
                .devices
                .iter()
                .filter_map(|device| Some((device.ifindex, source(device)?)))
                .collect(),
        }
    }

    /// Whether NodePorts are served on an address, of whichever family.
    pub fn serves(&self, addr: IpAddr) -> bool {
        F::pick(addr).is_some_and(|addr| self.local.iter().any(|(local, _)| *local == addr))
    }
}

/// The IPv6 loopback address serves no NodePorts, as with kube-proxy. And it is every network namespace's own: a pod that asks it
/// means itself.
fn is_never_served(addr: IpAddr) -> bool {
    addr.is_ipv6() && addr.is_loopback()
}

/// The Node's own address, because other nodes know the way to it; else the first that the kernel would choose.
fn snat_source<F: IpFamily>(device: &Device, node_ips: &[IpAddr]) -> Option<F::Ip> {
    let mut own = device.addresses.iter().filter_map(|addr| F::pick(*addr));
    own.clone()
        .find(|addr| node_ips.contains(&(*addr).into()))
        .or_else(|| own.next())
}

/// `spec.nodePort.addresses`, as far as it concerns one family.
struct Wanted {
    all: bool,
    primary: bool,
    localhost: bool,
    nets: Vec<IpNet>,
}

impl Wanted {
    fn parse<F: IpFamily>(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|w| w == word);
        let (primary, localhost) = (has("primary"), has("localhost"));
        let nets: Vec<IpNet> = words
            .iter()
            .filter_map(|word| word.parse().ok())
            .filter(|net: &IpNet| F::pick(net.addr()).is_some())
            .collect();
        Self {
            // CIDRs of the other family alone do not restrict this one, as in kube-proxy.
            all: has("all") || !(primary || localhost || !nets.is_empty()),
            primary,
            localhost,
            nets,
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
    use kpr_abi::{V4, V6};

    use super::*;

    fn device(ifindex: u32, name: &str, addresses: &[&str]) -> Device {
        Device {
            name: name.into(),
            ifindex,
            addresses: ips(addresses),
            has_default_route: false,
            up: true,
            kind: String::new(),
        }
    }

    fn ips(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|addr| addr.parse().unwrap()).collect()
    }

    /// A dual-stack node.
    fn node() -> Vec<Device> {
        vec![
            device(1, "lo", &["127.0.0.1", "::1"]),
            device(2, "eth0", &["192.168.49.2", "fd00:49::2"]),
            device(3, "cni0", &["10.244.0.1", "fd00:244::1"]),
        ]
    }

    fn selection(devices: &[Device], names: &[&str], direct: &str) -> Selection {
        let chosen = devices.iter().filter(|device| names.contains(&device.name.as_str()));
        Selection {
            devices: chosen.cloned().collect(),
            direct_routing: Some(direct.into()),
        }
    }

    /// Addresses of both families that serve NodePorts.
    fn local(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let (devices, node_ips) = (node(), ips(&["192.168.49.2", "fd00:49::2"]));
        let selection = selection(&devices, &["eth0"], "eth0");
        let v4 = NodeAddresses::<V4>::choose(&devices, &selection, &words, &node_ips).local;
        let v6 = NodeAddresses::<V6>::choose(&devices, &selection, &words, &node_ips).local;
        let v4 = v4.iter().map(|(addr, _)| addr.to_string());
        v4.chain(v6.iter().map(|(addr, _)| addr.to_string())).collect()
    }

    #[test]
    fn node_port_addresses_are_those_that_the_words_and_cidrs_name() {
        const ALL4: [&str; 3] = ["10.244.0.1", "127.0.0.1", "192.168.49.2"];
        const ALL6: [&str; 2] = ["fd00:49::2", "fd00:244::1"];
        let table: [(&[&str], &[&str], &[&str]); 8] = [
            (&["all"], &ALL4, &ALL6),
            (&["primary"], &["192.168.49.2"], &["fd00:49::2"]),
            (&["localhost"], &["127.0.0.1"], &[]),
            (
                &["10.0.0.0/8", "primary"],
                &["10.244.0.1", "192.168.49.2"],
                &["fd00:49::2"],
            ),
            (&["10.0.0.0/8", "fd00:49::/64"], &["10.244.0.1"], &["fd00:49::2"]),
            // A list that names one family leaves the other as it is.
            (&["172.16.0.0/12"], &[], &ALL6),
            (&["2001:db8::/32"], &ALL4, &[]),
            (&["0.0.0.0/0", "::/0"], &ALL4, &ALL6),
        ];
        for (words, v4, v6) in table {
            assert_eq!(local(words), [v4, v6].concat(), "{words:?}");
        }
    }

    #[test]
    fn every_address_serves_host_ports_and_is_told_once() {
        let (devices, node_ips) = (node(), ips(&["192.168.49.2"]));
        let selection = selection(&devices, &["eth0"], "eth0");
        let chosen = NodeAddresses::<V4>::choose(&devices, &selection, &["primary".into()], &node_ips);
        let shown = |list: &[(std::net::Ipv4Addr, u32)]| -> Vec<String> {
            list.iter().map(|(addr, ifindex)| format!("{addr} {ifindex}")).collect()
        };
        assert_eq!(shown(&chosen.local), ["192.168.49.2 2"]);
        assert_eq!(shown(&chosen.host_ports_only), ["10.244.0.1 3", "127.0.0.1 1"]);
    }

    fn sources<F: IpFamily>(devices: &[Device], selection: &Selection, node_ips: &[&str]) -> NodeAddresses<F> {
        NodeAddresses::choose(devices, selection, &["all".into()], &ips(node_ips))
    }

    #[test]
    fn snat_uses_the_address_of_the_device_that_the_packet_leaves_by() {
        let mut devices = node();
        devices.push(device(4, "eth1", &["10.0.0.2", "fd00:a::2"]));
        let selection = selection(&devices, &["eth0", "eth1"], "eth0");
        let v4 = sources::<V4>(&devices, &selection, &["192.168.49.2"]);
        assert_eq!(v4.snat_default, Some([192, 168, 49, 2].into()));
        let both = [(2, [192, 168, 49, 2].into()), (4, [10, 0, 0, 2].into())];
        assert_eq!(v4.snat_by_device, both, "cni0 does not lead outside");
        let v6 = sources::<V6>(&devices, &selection, &["192.168.49.2"]);
        assert_eq!(v6.snat_default, Some("fd00:49::2".parse().unwrap()));
        assert_eq!(v6.snat_by_device.len(), 2);
    }

    #[test]
    fn among_several_addresses_of_a_device_snat_uses_the_nodes_own() {
        let devices = [device(2, "eth0", &["fd00:49::abcd", "fd00:49::2", "2001:db8::2"])];
        let selection = selection(&devices, &["eth0"], "eth0");
        let own = sources::<V6>(&devices, &selection, &["fd00:49::2"]);
        assert_eq!(own.snat_by_device, [(2, "fd00:49::2".parse().unwrap())]);
        let unknown = sources::<V6>(&devices, &selection, &[]);
        assert_eq!(unknown.snat_default, Some("fd00:49::abcd".parse().unwrap()));
    }

    #[test]
    fn a_family_that_the_node_does_not_have_has_no_addresses() {
        let devices = [device(2, "eth0", &["fd00:49::2"])];
        let selection = selection(&devices, &["eth0"], "eth0");
        let v4 = sources::<V4>(&devices, &selection, &["fd00:49::2"]);
        assert_eq!(v4, NodeAddresses::default());
        let v6 = sources::<V6>(&devices, &selection, &["fd00:49::2"]);
        assert_eq!(v6.snat_default, Some("fd00:49::2".parse().unwrap()));
    }

    #[test]
    fn a_family_that_the_direct_routing_device_does_not_have_takes_another_device_for_its_default() {
        let devices = [
            device(2, "eth0", &["192.168.49.2"]),
            device(3, "eth1", &["fd00:b::2"]),
            device(4, "eth2", &["fd00:c::2"]),
        ];
        let selection = selection(&devices, &["eth0", "eth1", "eth2"], "eth0");
        let default = |node_ips| sources::<V6>(&devices, &selection, node_ips).snat_default;
        assert_eq!(
            default(&["192.168.49.2", "fd00:c::2"]),
            Some("fd00:c::2".parse().unwrap())
        );
        assert_eq!(default(&["192.168.49.2"]), Some("fd00:b::2".parse().unwrap()));
    }
}
