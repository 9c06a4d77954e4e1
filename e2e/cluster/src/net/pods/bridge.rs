//! Pods on a bridge.

use super::{
    POD_BRIDGE, PodWiring, UPLINK,
    script::{mac, set_addresses},
};
use crate::{address::Addresses, spec::NodeSpec};

/// How the hardware address of the bridge begins.
const MAC: [u8; 2] = [0x0a, 0x58];

/// The bridge, with the address that pods have as their gateway.
pub(super) fn node(node: &NodeSpec) -> Vec<String> {
    let gateway = gateway(node);
    // A bridge without an address of its own takes that of a port, and so changes it when a port comes or goes:
    // the pods' neighbour entries for the gateway would be wrong for a while.
    let mac = mac(MAC, gateway.primary());
    let mut script = vec![format!(
        "link add {POD_BRIDGE} address {mac} type bridge stp_state 0 forward_delay 0"
    )];
    script.extend(set_addresses(POD_BRIDGE, &gateway.with_prefixes(&node.pod_cidrs)));
    script.push(format!("link set {POD_BRIDGE} up"));
    script
}

pub(super) fn pod(node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let on_node = vec![
        format!("link add {veth} type veth peer name {UPLINK} netns {pod_netns}"),
        format!("link set {veth} master {POD_BRIDGE}"),
        format!("link set {veth} type bridge_slave hairpin on"),
        format!("link set {veth} up"),
    ];
    let mut in_pod = set_addresses(UPLINK, &pod.with_prefixes(&node.pod_cidrs));
    in_pod.push(format!("link set {UPLINK} up"));
    in_pod.extend(gateway(node).iter().map(|via| format!("route add default via {via}")));
    PodWiring {
        on_node,
        in_pod,
        ..PodWiring::default()
    }
}

fn gateway(node: &NodeSpec) -> Addresses {
    node.pod_cidrs.nth(1)
}

#[cfg(test)]
mod tests {
    use super::super::PodNetwork;
    use crate::spec::{ClusterSpec, Families, NodeSpec};

    #[test]
    fn a_node_has_a_gateway_for_its_pods_and_routes_to_the_pods_of_others() {
        let (a, b) = (NodeSpec::ipv4("node-a", 0), NodeSpec::ipv4("node-b", 1));
        assert_eq!(
            PodNetwork::Bridge.node_wiring(&ClusterSpec::default(), &a, &[&b]).ip,
            [
                "link add cni0 address 0a:58:0a:f4:00:01 type bridge stp_state 0 forward_delay 0",
                "addr add 10.244.0.1/24 dev cni0",
                "link set cni0 up",
                "route add 10.244.1.0/24 via 192.168.49.3",
            ]
        );
    }

    #[test]
    fn with_both_families_there_is_a_gateway_and_a_route_of_each() {
        let of = |name, index| NodeSpec::numbered(name, index, Families::DualStackIpv6First);
        let (a, b) = (of("node-a", 0), of("node-b", 1));
        let script = PodNetwork::Bridge.node_wiring(&ClusterSpec::default(), &a, &[&b]).ip;
        assert_eq!(
            script[1..],
            [
                "addr add fd00:10:244::1/64 dev cni0 nodad",
                "addr add 10.244.0.1/24 dev cni0",
                "link set cni0 up",
                "route add fd00:10:244:1::/64 via fd00:49::3",
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
