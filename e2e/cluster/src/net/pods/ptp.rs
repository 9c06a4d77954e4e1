//! A veth and a host route per pod.

use ipnet::IpNet;

use super::{PodWiring, UPLINK, script::set_addresses};
use crate::{address::Addresses, spec::NodeSpec};

/// The gateway of every pod: an address that nobody has, which the node's end of the veth answers for.
pub(super) const GATEWAY: &str = "169.254.1.1";
/// The node's end of every veth, and the link-local address that belongs to it.
pub(super) const HOST_END_MAC: &str = "ee:ee:ee:ee:ee:ee";
const HOST_END_LINK_LOCAL: &str = "fe80::ecee:eeff:feee:eeee";

/// Pod addresses that no pod has are not for the default gateway.
pub(super) fn blackholes(node: &NodeSpec) -> Vec<String> {
    let cidrs = node.pod_cidrs.iter();
    cidrs.map(|cidr| format!("route add blackhole {cidr}")).collect()
}

pub(super) fn pod(pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let mut in_pod = addresses(pod);
    if pod.v4.is_some() {
        in_pod.push(format!("route add {GATEWAY} dev {UPLINK} scope link"));
        in_pod.push(format!("route add default via {GATEWAY} dev {UPLINK}"));
    }
    if pod.v6.is_some() {
        in_pod.push(format!("route add default via {HOST_END_LINK_LOCAL} dev {UPLINK}"));
    }
    PodWiring {
        on_node: cable(pod_netns, veth, pod),
        // Without the second, the answer would wait for a random part of 0.8 s.
        node_sysctls: vec![
            (format!("net.ipv4.conf.{veth}.proxy_arp"), "1"),
            (format!("net.ipv4.neigh.{veth}.proxy_delay"), "0"),
        ],
        in_pod,
        ..PodWiring::default()
    }
}

/// The veth, and a route to the pod through it.
pub(super) fn cable(pod_netns: &str, veth: &str, pod: Addresses) -> Vec<String> {
    let mut script = vec![
        format!("link add {veth} address {HOST_END_MAC} type veth peer name {UPLINK} netns {pod_netns}"),
        format!("link set {veth} up"),
    ];
    script.extend(pod.iter().map(|address| format!("route add {address} dev {veth}")));
    script
}

/// The pod's end, with nobody else on its link.
pub(super) fn addresses(pod: Addresses) -> Vec<String> {
    let hosts: Vec<IpNet> = pod.iter().map(IpNet::from).collect();
    let mut script = set_addresses(UPLINK, &hosts);
    script.push(format!("link set {UPLINK} up"));
    script
}

#[cfg(test)]
mod tests {
    use super::super::PodNetwork;
    use crate::spec::{Families, NodeSpec};

    #[test]
    fn a_point_to_point_pod_has_a_gateway_that_the_node_only_answers_for() {
        let node = NodeSpec::ipv4("node-b", 1);
        let wiring = PodNetwork::PointToPoint.pod_wiring(&node, "kpr-7f3a-pod", "veth1", node.pod_cidrs.nth(1));
        assert_eq!(wiring.on_node[2], "route add 10.244.1.1 dev veth1");
        assert_eq!(
            wiring.node_sysctls[0],
            ("net.ipv4.conf.veth1.proxy_arp".to_owned(), "1")
        );
        assert_eq!(
            wiring.in_pod,
            [
                "addr add 10.244.1.1/32 dev eth0",
                "link set eth0 up",
                "route add 169.254.1.1 dev eth0 scope link",
                "route add default via 169.254.1.1 dev eth0",
            ]
        );
    }

    #[test]
    fn its_ipv6_gateway_is_the_other_end_of_its_link() {
        let node = NodeSpec::numbered("node-b", 1, Families::Ipv6);
        let wiring = PodNetwork::PointToPoint.pod_wiring(&node, "kpr-7f3a-pod", "veth1", node.pod_cidrs.nth(1));
        assert_eq!(wiring.on_node[2], "route add fd00:10:244:1::1 dev veth1");
        assert_eq!(
            wiring.in_pod,
            [
                "addr add fd00:10:244:1::1/128 dev eth0 nodad",
                "link set eth0 up",
                "route add default via fe80::ecee:eeff:feee:eeee dev eth0",
            ]
        );
    }
}
