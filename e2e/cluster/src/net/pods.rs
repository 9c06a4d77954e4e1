//! How pods are wired, the way real CNIs do it. Pure: it yields `ip` scripts.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::{address::Addresses, spec::NodeSpec};

/// The device that leads a node to the others (and, in a pod, to its node).
pub const UPLINK: &str = "eth0";

/// The bridge that a node's pods hang on in [`PodNetwork::Bridge`].
pub const POD_BRIDGE: &str = "cni0";

/// The device that leads to other nodes' pods in [`PodNetwork::Vxlan`].
pub const TUNNEL: &str = "flannel.1";

/// What a VXLAN header over IPv4 takes from the MTU.
const TUNNEL_MTU: u32 = 1_450;

/// The gateway of every pod in [`PodNetwork::PointToPoint`].
const PROXIED_GATEWAY: &str = "169.254.1.1";
/// The node's end of every veth in [`PodNetwork::PointToPoint`], and the link-local address that belongs to it.
const PROXY_MAC: &str = "ee:ee:ee:ee:ee:ee";
const PROXY_LINK_LOCAL: &str = "fe80::ecee:eeff:feee:eeee";

/// How the addresses of bridges and tunnels begin.
const BRIDGE_PREFIX: [u8; 2] = [0x0a, 0x58];
const TUNNEL_PREFIX: [u8; 2] = [0x0e, 0xf1];

/// A way to wire pods to their node and nodes to each other's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// The `bridge` CNI plugin with `host-gw` routes: pods hang on `cni0`, which has the first address of the pod
    /// CIDR, and every node has a route to every other node's pod CIDR.
    Bridge,
    /// Calico's wiring: no bridge, but a veth and a /32 route per pod. The pod's gateway is an address that nobody has; the
    /// node's end of the veth answers for it (`proxy_arp`).
    PointToPoint,
    /// flannel's `vxlan` backend: pods hang on `cni0`, and other nodes' pods are behind [`TUNNEL`], which has the first address
    /// of the pod CIDR itself and knows the others' by static neighbour and forwarding entries.
    Vxlan,
}

/// The two ends of a pod's wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodWiring {
    /// Commands for the node's namespace, carried out first.
    pub on_node: Vec<String>,
    /// Sysctls of the node's namespace, set after that.
    pub node_sysctls: Vec<(String, &'static str)>,
    /// Commands for the pod's namespace.
    pub in_pod: Vec<String>,
}

impl PodNetwork {
    /// Prepares `node` for its pods, and for reaching the pods of `others`.
    pub fn node_script(self, node: &NodeSpec, others: &[&NodeSpec]) -> Vec<String> {
        match self {
            Self::Bridge => [bridge_node(node), routes_to(others)].concat(),
            Self::PointToPoint => [blackholes(node), routes_to(others)].concat(),
            Self::Vxlan => [bridge_node(node), tunnel(node, others)].concat(),
        }
    }

    /// Commands of `bridge` that `node` needs after [`Self::node_script`].
    pub fn forwarding_entries(self, others: &[&NodeSpec]) -> Vec<String> {
        match self {
            Self::Bridge | Self::PointToPoint => Vec::new(),
            Self::Vxlan => others.iter().filter_map(|other| forwarding_entry(other)).collect(),
        }
    }

    /// Gives the pod whose namespace is `pod_netns` the addresses `pod`, through a veth called `veth` on the node.
    pub fn pod_wiring(self, node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
        match self {
            Self::Bridge => bridge_pod(node, pod_netns, veth, pod),
            Self::PointToPoint => point_to_point_pod(pod_netns, veth, pod),
            Self::Vxlan => {
                let mut wiring = bridge_pod(node, pod_netns, veth, pod);
                wiring.in_pod.push(format!("link set {UPLINK} mtu {TUNNEL_MTU}"));
                wiring
            }
        }
    }

    /// Index of the first address of a pod CIDR that a pod may have: the network itself and the gateway are taken.
    pub fn first_pod_index(self) -> u32 {
        match self {
            Self::Bridge | Self::Vxlan => 2,
            Self::PointToPoint => 1,
        }
    }

    /// As whom `node` speaks to another node's pods: the addresses of the device that leads there.
    pub fn towards_other_nodes(self, node: &NodeSpec) -> Addresses {
        match self {
            Self::Bridge | Self::PointToPoint => node.addresses,
            Self::Vxlan => node.pod_cidrs.nth(0),
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
    let mac = mac(BRIDGE_PREFIX, gateway.v4);
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

/// Pod addresses that no pod has are not for the default gateway.
fn blackholes(node: &NodeSpec) -> Vec<String> {
    let cidrs = node.pod_cidrs.iter();
    cidrs.map(|cidr| format!("route add blackhole {cidr}")).collect()
}

/// An address for a device that must keep it: locally administered, made of a prefix that says what it is for and of an IPv4
/// address.
fn mac(prefix: [u8; 2], address: Option<Ipv4Addr>) -> String {
    let octets = address.map_or([0, 0, 0, 1], |address| address.octets());
    let bytes = prefix.iter().chain(&octets).map(|byte| format!("{byte:02x}"));
    bytes.collect::<Vec<_>>().join(":")
}

fn tunnel_mac(node: &NodeSpec) -> String {
    mac(TUNNEL_PREFIX, node.addresses.v4)
}

fn tunnel(node: &NodeSpec, others: &[&NodeSpec]) -> Vec<String> {
    let Some(local) = node.addresses.v4 else {
        return Vec::new();
    };
    let mut script = vec![format!(
        "link add {TUNNEL} address {} mtu {TUNNEL_MTU} type vxlan id 1 local {local} dev {UPLINK} dstport 8472 nolearning",
        tunnel_mac(node)
    )];
    let own = node.pod_cidrs.nth(0).v4;
    script.extend(own.map(|own| format!("addr add {own}/32 dev {TUNNEL}")));
    script.push(format!("link set {TUNNEL} up"));
    script.push(format!("link set {POD_BRIDGE} mtu {TUNNEL_MTU}"));
    for other in others {
        if let (Some(cidr), Some(end)) = (other.pod_cidrs.v4, other.pod_cidrs.nth(0).v4) {
            let mac = tunnel_mac(other);
            script.push(format!("neigh add {end} lladdr {mac} dev {TUNNEL} nud permanent"));
            script.push(format!("route add {cidr} via {end} dev {TUNNEL} onlink"));
        }
    }
    script
}

fn forwarding_entry(other: &NodeSpec) -> Option<String> {
    let (mac, end) = (tunnel_mac(other), other.addresses.v4?);
    Some(format!("fdb append {mac} dev {TUNNEL} dst {end} self permanent"))
}

fn point_to_point_pod(pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let mut on_node = vec![
        format!("link add {veth} address {PROXY_MAC} type veth peer name {UPLINK} netns {pod_netns}"),
        format!("link set {veth} up"),
    ];
    on_node.extend(pod.iter().map(|address| format!("route add {address} dev {veth}")));
    let hosts: Vec<IpNet> = pod.iter().map(IpNet::from).collect();
    let mut in_pod = set_addresses(UPLINK, &hosts);
    in_pod.push(format!("link set {UPLINK} up"));
    if pod.v4.is_some() {
        in_pod.push(format!("route add {PROXIED_GATEWAY} dev {UPLINK} scope link"));
        in_pod.push(format!("route add default via {PROXIED_GATEWAY} dev {UPLINK}"));
    }
    if pod.v6.is_some() {
        in_pod.push(format!("route add default via {PROXY_LINK_LOCAL} dev {UPLINK}"));
    }
    PodWiring {
        on_node,
        // Without the second, the answer would wait for a random part of 0.8 s.
        node_sysctls: vec![
            (format!("net.ipv4.conf.{veth}.proxy_arp"), "1"),
            (format!("net.ipv4.neigh.{veth}.proxy_delay"), "0"),
        ],
        in_pod,
    }
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
    PodWiring {
        on_node,
        node_sysctls: Vec::new(),
        in_pod,
    }
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

    #[test]
    fn a_tunnel_has_the_pod_cidrs_own_address_and_knows_the_other_ends() {
        let (a, b) = (NodeSpec::ipv4("node-a", 0), NodeSpec::ipv4("node-b", 1));
        let script = PodNetwork::Vxlan.node_script(&a, &[&b]);
        let expected = [
            "link add flannel.1 address 0e:f1:c0:a8:31:02 mtu 1450 type vxlan id 1 local 192.168.49.2 dev eth0 dstport 8472 \
             nolearning",
            "addr add 10.244.0.0/32 dev flannel.1",
            "link set flannel.1 up",
            "link set cni0 mtu 1450",
            "neigh add 10.244.1.0 lladdr 0e:f1:c0:a8:31:03 dev flannel.1 nud permanent",
            "route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
        ];
        assert_eq!(script[3..], expected);
        assert_eq!(
            PodNetwork::Vxlan.forwarding_entries(&[&b]),
            ["fdb append 0e:f1:c0:a8:31:03 dev flannel.1 dst 192.168.49.3 self permanent"]
        );
        assert_eq!(PodNetwork::Vxlan.towards_other_nodes(&a).to_string(), "10.244.0.0");
    }

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
}
