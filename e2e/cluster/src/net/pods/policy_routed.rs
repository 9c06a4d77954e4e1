//! Pod addresses of the nodes' own network, at two devices: what the AWS VPC CNI makes.
//!
//! Every other pod belongs to the node's second device: packets from it follow that device's routing table. What a virtual
//! private cloud does by itself, the nodes do here: they answer for their pods' addresses (proxy neighbours), each device for
//! its own pods.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    NodeWiring, PodWiring, SECOND_UPLINK, UPLINK,
    ptp::{GATEWAY, HOST_END_MAC, addresses, cable},
};
use crate::{
    address::{Addresses, Family},
    net::Rule,
    spec::{ClusterSpec, NodeSpec},
};

/// The second device's routing table.
const TABLE: u32 = 2;
/// Priorities of the routing rules.
const TO_POD: u32 = 512;
const MARKED: u32 = 1024;
const FROM_POD: u32 = 1536;
/// Marks connections that came in by the first device for the node itself: a NodePort, as the CNI believes.
const MARK: &str = "0x80/0x80";
/// The gateway of every pod in IPv6.
const GATEWAY_V6: &str = "fe80::1";

pub(super) fn node(spec: &ClusterSpec, node: &NodeSpec) -> NodeWiring {
    let mut wiring = NodeWiring {
        // The fabric of a cloud gives a device only what is its own: here both are on one switch.
        sysctls: owned(&[
            ("net.ipv4.conf.all.arp_ignore", "1"),
            ("net.ipv4.conf.all.arp_announce", "2"),
            ("net.ipv6.conf.all.proxy_ndp", "1"),
        ]),
        ..NodeWiring::default()
    };
    for device in [UPLINK, SECOND_UPLINK] {
        for family in ["ipv4", "ipv6"] {
            let delay = format!("net.{family}.neigh.{device}.proxy_delay");
            wiring.sysctls.push((delay, "0"));
        }
    }
    for own in node.second.with_prefixes(&spec.node_network) {
        let nodad = if own.addr().is_ipv6() { " nodad" } else { "" };
        let add = format!("addr add {own} dev {SECOND_UPLINK} noprefixroute{nodad}");
        wiring.ip.push(add);
        wiring.rules.push(Rule::new(
            own.addr(),
            format!("from {} table {TABLE} priority {FROM_POD}", own.addr()),
        ));
    }
    for router in spec.router.iter() {
        wiring
            .ip
            .push(format!("route add {router} dev {SECOND_UPLINK} table {TABLE}"));
        wiring.ip.push(format!(
            "route add default via {router} dev {SECOND_UPLINK} table {TABLE}"
        ));
        let marked = format!("fwmark {MARK} table main priority {MARKED}");
        wiring.rules.push(Rule::new(router, marked));
    }
    for network in spec.node_network.iter() {
        if let Some(own) = node.addresses.of_family(Family::of(network.addr())) {
            wiring.firewall.push((Family::of(own), firewall(network, own)));
        }
    }
    wiring
}

pub(super) fn pod(node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let mut wiring = PodWiring {
        on_node: cable(pod_netns, veth, pod),
        in_pod: addresses(pod),
        ..PodWiring::default()
    };
    let device = if belongs_to_second(node, pod) {
        SECOND_UPLINK
    } else {
        UPLINK
    };
    for address in pod.iter() {
        let gateway = if address.is_ipv4() { GATEWAY } else { GATEWAY_V6 };
        wiring.in_pod.extend([
            format!("neigh add {gateway} lladdr {HOST_END_MAC} dev {UPLINK} nud permanent"),
            format!("route add {gateway} dev {UPLINK}"),
            format!("route add default via {gateway} dev {UPLINK}"),
        ]);
        wiring.on_node.push(format!("neigh add proxy {address} dev {device}"));
        wiring
            .afterwards
            .push(format!("neigh del proxy {address} dev {device}"));
        let mut rule = |line| wiring.rules.push(Rule::new(address, line));
        rule(format!("to {address} table main priority {TO_POD}"));
        if device == SECOND_UPLINK {
            rule(format!("from {address} table {TABLE} priority {FROM_POD}"));
        }
    }
    wiring
}

/// Every other address of the pods' range is the second device's.
fn belongs_to_second(node: &NodeSpec, pod: Addresses) -> bool {
    let odd = match pod.primary() {
        Some(IpAddr::V4(address)) => address.octets()[3] % 2 == 1,
        Some(IpAddr::V6(address)) => address.octets()[15] % 2 == 1,
        None => false,
    };
    odd && node.second.primary().is_some()
}

/// The CNI's own rules: replies of connections that came in by the first device for the node itself leave by that device, and
/// what goes out of the cloud's network has the node's address.
fn firewall(network: IpNet, own: IpAddr) -> String {
    format!(
        "*mangle\n\
         -A PREROUTING -i {UPLINK} -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark {MARK}\n\
         -A PREROUTING -i veth+ -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80\n\
         COMMIT\n\
         *nat\n\
         :AWS-SNAT-CHAIN-0 - [0:0]\n\
         -A POSTROUTING -j AWS-SNAT-CHAIN-0\n\
         -A AWS-SNAT-CHAIN-0 -d {network} -j RETURN\n\
         -A AWS-SNAT-CHAIN-0 -m addrtype ! --dst-type LOCAL -j SNAT --to-source {own} --random-fully\n\
         COMMIT\n"
    )
}

fn owned(settings: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), *value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{PodNetwork, PodWiring};
    use crate::spec::{ClusterSpec, Shape};

    fn pod(spec: &ClusterSpec, index: u32) -> PodWiring {
        let node = &spec.nodes[0];
        PodNetwork::PolicyRouted.pod_wiring(node, "kpr-7f3a-pod", "veth1", node.pod_cidrs.nth(index))
    }

    fn rules(wiring: &PodWiring) -> Vec<String> {
        wiring.rules.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_pod_of_the_second_device_sends_follows_that_devices_table() {
        let spec = ClusterSpec::of(Shape::PolicyRouted);
        let second = pod(&spec, 1);
        assert_eq!(
            rules(&second),
            [
                "to 192.168.49.129 table main priority 512",
                "from 192.168.49.129 table 2 priority 1536",
            ]
        );
        assert_eq!(second.on_node[3], "neigh add proxy 192.168.49.129 dev eth1");
        let first = pod(&spec, 2);
        assert_eq!(rules(&first), ["to 192.168.49.130 table main priority 512"]);
        assert_eq!(first.on_node[3], "neigh add proxy 192.168.49.130 dev eth0");
        assert_eq!(first.afterwards, ["neigh del proxy 192.168.49.130 dev eth0"]);
    }

    #[test]
    fn the_second_device_has_a_table_and_no_route_beside_it() {
        let spec = ClusterSpec::of(Shape::PolicyRouted);
        let wiring = PodNetwork::PolicyRouted.node_wiring(&spec, &spec.nodes[1], &[&spec.nodes[0]]);
        assert_eq!(
            wiring.ip,
            [
                "addr add 192.168.49.13/24 dev eth1 noprefixroute",
                "route add 192.168.49.1 dev eth1 table 2",
                "route add default via 192.168.49.1 dev eth1 table 2",
            ]
        );
        assert_eq!(wiring.rules[0].to_string(), "from 192.168.49.13 table 2 priority 1536");
    }
}
