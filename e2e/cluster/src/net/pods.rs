//! How pods are wired, the way real CNIs do it. Pure: it yields `ip` scripts.

use std::net::IpAddr;

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
    pub on_node: String,
    /// Commands for the pod's namespace.
    pub in_pod: String,
}

impl PodNetwork {
    /// Prepares `node` for its pods, and for reaching the pods of `others`.
    pub fn node_script(self, node: &NodeSpec, others: &[&NodeSpec]) -> String {
        match self {
            Self::Bridge => bridge_node(node) + &routes_to(others),
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

fn bridge_node(node: &NodeSpec) -> String {
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
    let mut script = format!("link add {POD_BRIDGE} address {mac} type bridge stp_state 0 forward_delay 0\n");
    for address in gateway.with_prefixes(&node.pod_cidrs) {
        script += &format!("addr add {address} dev {POD_BRIDGE}{}\n", nodad(address.addr()));
    }
    script + &format!("link set {POD_BRIDGE} up\n")
}

fn routes_to(others: &[&NodeSpec]) -> String {
    others
        .iter()
        .flat_map(|other| {
            other.pod_cidrs.iter().filter_map(|cidr| {
                let via = other
                    .addresses
                    .iter()
                    .find(|address| address.is_ipv4() == cidr.addr().is_ipv4())?;
                Some(format!("route add {cidr} via {via}\n"))
            })
        })
        .collect()
}

fn bridge_pod(node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let on_node = format!(
        "link add {veth} type veth peer name {UPLINK} netns {pod_netns}\n\
         link set {veth} master {POD_BRIDGE}\n\
         link set {veth} type bridge_slave hairpin on\n\
         link set {veth} up\n"
    );
    let mut in_pod = String::new();
    for address in pod.with_prefixes(&node.pod_cidrs) {
        in_pod += &format!("addr add {address} dev {UPLINK}{}\n", nodad(address.addr()));
    }
    in_pod += &format!("link set {UPLINK} up\n");
    for via in gateway(node).iter() {
        in_pod += &format!("route add default via {via}\n");
    }
    PodWiring { on_node, in_pod }
}

/// Duplicate address detection would keep an IPv6 address unusable for a second.
pub(crate) fn nodad(address: IpAddr) -> &'static str {
    if address.is_ipv6() { " nodad" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_gateway_for_its_pods_and_routes_to_the_pods_of_others() {
        let (a, b) = (NodeSpec::ipv4("node-a", 0), NodeSpec::ipv4("node-b", 1));
        let script = PodNetwork::Bridge.node_script(&a, &[&b]);
        assert!(script.contains("addr add 10.244.0.1/24 dev cni0\n"), "{script}");
        assert!(
            script.contains("route add 10.244.1.0/24 via 192.168.49.3\n"),
            "{script}"
        );
        assert!(script.contains("address 0a:58:0a:f4:00:01"), "{script}");
    }

    #[test]
    fn a_pod_reaches_everything_through_its_gateway() {
        let node = NodeSpec::ipv4("node-b", 1);
        let wiring = PodNetwork::Bridge.pod_wiring(&node, "kpr-7f3a-pod", "veth1", node.pod_cidrs.nth(2));
        assert!(
            wiring.on_node.contains("link set veth1 master cni0\n"),
            "{}",
            wiring.on_node
        );
        assert!(
            wiring.in_pod.contains("addr add 10.244.1.2/24 dev eth0\n"),
            "{}",
            wiring.in_pod
        );
        assert!(
            wiring.in_pod.ends_with("route add default via 10.244.1.1\n"),
            "{}",
            wiring.in_pod
        );
    }
}
