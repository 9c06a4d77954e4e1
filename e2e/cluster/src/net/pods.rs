//! How pods are wired, the way real CNIs do it. Pure: it yields `ip` scripts.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{address::Addresses, spec::NodeSpec};

/// The device that leads a node to the others (and, in a pod, to its node).
pub const UPLINK: &str = "eth0";

/// The bridge that a node's pods hang on in [`PodNetwork::Bridge`].
pub const POD_BRIDGE: &str = "cni0";

/// A way to wire pods to their node and nodes to each other's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// The `bridge` CNI plugin with `host-gw` routes: pods hang on `cni0`, which has the first address of the pod
    /// CIDR, and every node has a route to every other node's pod CIDR.
    Bridge,
}

/// The two ends of a pod's wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodWiring {
    /// Commands for the node's namespace, carried out first.
    pub on_node: Vec<String>,
    /// Commands for the pod's namespace.
    pub in_pod: Vec<String>,
}

impl PodNetwork {
    /// Prepares `node` for its pods, and for reaching the pods of `others`.
    pub fn node_script(self, node: &NodeSpec, others: &[&NodeSpec]) -> Vec<String> {
        match self {
            Self::Bridge => [bridge_node(node), routes_to(others)].concat(),
        }
    }

    /// Gives the pod whose namespace is `pod_netns` the addresses `pod`, through a veth called `veth` on the node.
    pub fn pod_wiring(self, node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
        match self {
            Self::Bridge => bridge_pod(node, pod_netns, veth, pod),
        }
    }

    /// Index of the first address of a pod CIDR that a pod may have: the network itself and the gateway are taken.
    pub fn first_pod_index(self) -> u32 {
        match self {
            Self::Bridge => 2,
        }
    }
}

fn gateway(node: &NodeSpec) -> Addresses {
    node.pod_cidrs.nth(1)
}

fn bridge_node(node: &NodeSpec) -> Vec<String> {
    let gateway = gateway(node);
    // A bridge without an address of its own takes that of a port, and so changes it when a port comes or goes:
    // the pods' neighbour entries for the gateway would be wrong for a while.
    let mac = gateway.v4.map_or_else(
        || "0a:58:00:00:00:01".to_owned(),
        |address| {
            let [a, b, c, d] = address.octets();
            format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
        },
    );
    let mut script = vec![format!(
        "link add {POD_BRIDGE} address {mac} type bridge stp_state 0 forward_delay 0"
    )];
    script.extend(set_addresses(POD_BRIDGE, &gateway.with_prefixes(&node.pod_cidrs)));
    script.push(format!("link set {POD_BRIDGE} up"));
    script
}

fn routes_to(others: &[&NodeSpec]) -> Vec<String> {
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

fn bridge_pod(node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let on_node = vec![
        format!("link add {veth} type veth peer name {UPLINK} netns {pod_netns}"),
        format!("link set {veth} master {POD_BRIDGE}"),
        format!("link set {veth} type bridge_slave hairpin on"),
        format!("link set {veth} up"),
    ];
    let mut in_pod = set_addresses(UPLINK, &pod.with_prefixes(&node.pod_cidrs));
    in_pod.push(format!("link set {UPLINK} up"));
    in_pod.extend(gateway(node).iter().map(|via| format!("route add default via {via}")));
    PodWiring { on_node, in_pod }
}

/// Gives `device` its addresses. Duplicate address detection would keep an IPv6 address unusable for a second.
pub(super) fn set_addresses(device: &str, addresses: &[IpNet]) -> Vec<String> {
    let nodad = |address: &IpNet| if address.addr().is_ipv6() { " nodad" } else { "" };
    addresses
        .iter()
        .map(|address| format!("addr add {address} dev {device}{}", nodad(address)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_gateway_for_its_pods_and_routes_to_the_pods_of_others() {
        let (a, b) = (NodeSpec::ipv4("node-a", 0), NodeSpec::ipv4("node-b", 1));
        assert_eq!(
            PodNetwork::Bridge.node_script(&a, &[&b]),
            [
                "link add cni0 address 0a:58:0a:f4:00:01 type bridge stp_state 0 forward_delay 0",
                "addr add 10.244.0.1/24 dev cni0",
                "link set cni0 up",
                "route add 10.244.1.0/24 via 192.168.49.3",
            ]
        );
    }

    #[test]
    fn a_pod_reaches_everything_through_its_gateway() {
        let node = NodeSpec::ipv4("node-b", 1);
        let wiring = PodNetwork::Bridge.pod_wiring(&node, "kpr-7f3a-pod", "veth1", node.pod_cidrs.nth(2));
        assert_eq!(wiring.on_node[1], "link set veth1 master cni0");
        assert_eq!(
            wiring.in_pod,
            [
                "addr add 10.244.1.2/24 dev eth0",
                "link set eth0 up",
                "route add default via 10.244.1.1",
            ]
        );
    }
}
