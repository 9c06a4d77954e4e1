//! Pods on a bridge, and other nodes' pods behind a tunnel: flannel's.

use std::net::IpAddr;

use super::{NodeWiring, POD_BRIDGE, PodWiring, UPLINK, bridge, script::mac};
use crate::{
    address::{Addresses, Family},
    spec::{ClusterSpec, NodeSpec},
};

/// How the hardware addresses of tunnels begin.
const MAC: [u8; 2] = [0x0e, 0xf1];

/// The device that leads to other nodes' pods: one for each family, over an underlay of the same family.
fn tunnel(family: Family) -> &'static str {
    match family {
        Family::V4 => "flannel.1",
        Family::V6 => "flannel-v6.1",
    }
}

/// What is left of an Ethernet frame behind the headers of the tunnel.
fn tunnel_mtu(family: Family) -> u32 {
    match family {
        Family::V4 => 1_450,
        Family::V6 => 1_430,
    }
}

/// What fits the tunnels of all the pods' families.
fn mtu(addresses: Addresses) -> u32 {
    let families = addresses.iter().map(Family::of);
    families.map(tunnel_mtu).min().unwrap_or(1_500)
}

pub(super) fn node(spec: &ClusterSpec, node: &NodeSpec, others: &[&NodeSpec]) -> NodeWiring {
    let mut wiring = NodeWiring {
        ip: bridge::node(node),
        ..NodeWiring::default()
    };
    wiring
        .ip
        .push(format!("link set {POD_BRIDGE} mtu {}", mtu(node.addresses)));
    for local in node.addresses.iter() {
        let family = Family::of(local);
        let (device, mtu) = (tunnel(family), tunnel_mtu(family));
        wiring.ip.push(format!(
            "link add {device} address {} mtu {mtu} type vxlan id 1 local {local} dev {UPLINK} dstport 8472 nolearning",
            mac(MAC, Some(local))
        ));
        if let Some(own) = end(node, family) {
            wiring.ip.push(host_address(own, device));
        }
        wiring.ip.push(format!("link set {device} up"));
        for other in others {
            let (Some(underlay), Some(end), Some(cidr)) = (
                other.addresses.of_family(family),
                end(other, family),
                other.pod_cidrs.of_family(local),
            ) else {
                continue;
            };
            let mac = mac(MAC, Some(underlay));
            wiring
                .ip
                .push(format!("neigh add {end} lladdr {mac} dev {device} nud permanent"));
            wiring
                .ip
                .push(format!("route add {cidr} via {end} dev {device} onlink"));
            wiring
                .bridge
                .push(format!("fdb append {mac} dev {device} dst {underlay} self permanent"));
        }
        if spec.masquerade
            && let (Some(own), Some(all)) = (node.pod_cidrs.of_family(local), spec.pod_range.of_family(local))
        {
            let rules = masquerade(family, &own.to_string(), &all.to_string());
            wiring.firewall.push((family, rules));
        }
    }
    wiring
}

pub(super) fn pod(node: &NodeSpec, pod_netns: &str, veth: &str, pod: Addresses) -> PodWiring {
    let mut wiring = bridge::pod(node, pod_netns, veth, pod);
    wiring.in_pod.push(format!("link set {UPLINK} mtu {}", mtu(pod)));
    wiring
}

/// The tunnel's own address: the network address of the node's pod CIDR.
fn end(node: &NodeSpec, family: Family) -> Option<IpAddr> {
    node.pod_cidrs.nth(0).of_family(family)
}

fn host_address(own: IpAddr, device: &str) -> String {
    match own {
        IpAddr::V4(own) => format!("addr add {own}/32 dev {device}"),
        IpAddr::V6(own) => format!("addr add {own}/128 dev {device} nodad"),
    }
}

/// flannel's chain (`--ip-masq`, v0.22): pods keep their address towards pods, and get the node's towards everybody else; who
/// comes to a remote pod from outside the pods' range gets the node's too.
fn masquerade(family: Family, own: &str, all: &str) -> String {
    let multicast = match family {
        Family::V4 => "224.0.0.0/4",
        Family::V6 => "ff00::/8",
    };
    let own_rules = [
        "-m mark --mark 0x4000/0x4000 -j RETURN".to_owned(),
        format!("-s {own} -d {all} -j RETURN"),
        format!("-s {all} -d {own} -j RETURN"),
        format!("! -s {all} -d {own} -j RETURN"),
        format!("-s {all} ! -d {multicast} -j MASQUERADE --random-fully"),
        format!("! -s {all} -d {all} -j MASQUERADE --random-fully"),
    ]
    .map(|rule| format!("-A FLANNEL-POSTRTG {rule}\n"))
    .concat();
    format!(
        "*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -j FLANNEL-POSTRTG\n{own_rules}COMMIT\n\
         *filter\n:FLANNEL-FWD - [0:0]\n-A FORWARD -j FLANNEL-FWD\n-A FLANNEL-FWD -s {all} -j ACCEPT\n\
         -A FLANNEL-FWD -d {all} -j ACCEPT\nCOMMIT\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::PodNetwork;
    use crate::{
        address::Family,
        spec::{ClusterSpec, Families, NodeSpec, Shape},
    };

    fn wiring(spec: &ClusterSpec) -> super::NodeWiring {
        PodNetwork::Vxlan.node_wiring(spec, &spec.nodes[0], &[&spec.nodes[1]])
    }

    #[test]
    fn a_tunnel_has_the_pod_cidrs_own_address_and_knows_the_other_ends() {
        let wiring = wiring(&ClusterSpec::of(Shape::Vxlan));
        let expected = [
            "link set cni0 mtu 1450",
            "link add flannel.1 address 0e:f1:c0:a8:31:02 mtu 1450 type vxlan id 1 local 192.168.49.2 dev eth0 dstport 8472 \
             nolearning",
            "addr add 10.244.0.0/32 dev flannel.1",
            "link set flannel.1 up",
            "neigh add 10.244.1.0 lladdr 0e:f1:c0:a8:31:03 dev flannel.1 nud permanent",
            "route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
        ];
        assert_eq!(wiring.ip[3..], expected);
        assert_eq!(
            wiring.bridge,
            ["fdb append 0e:f1:c0:a8:31:03 dev flannel.1 dst 192.168.49.3 self permanent"]
        );
        assert_eq!(wiring.firewall, []);
        let a = NodeSpec::ipv4("node-a", 0);
        assert_eq!(PodNetwork::Vxlan.towards_other_nodes(&a).to_string(), "10.244.0.0");
    }

    #[test]
    fn each_family_has_a_tunnel_over_an_underlay_of_its_own() {
        let wiring = wiring(&ClusterSpec::of(Shape::Vxlan).families(Families::DualStack));
        for expected in [
            "link set cni0 mtu 1430",
            "addr add 10.244.0.0/32 dev flannel.1",
            "addr add fd00:10:244::/128 dev flannel-v6.1 nodad",
            "neigh add fd00:10:244:1:: lladdr 0e:f1:00:00:00:03 dev flannel-v6.1 nud permanent",
            "route add fd00:10:244:1::/64 via fd00:10:244:1:: dev flannel-v6.1 onlink",
        ] {
            assert!(wiring.ip.iter().any(|line| line == expected), "{expected}: {wiring:#?}");
        }
        assert_eq!(
            wiring.bridge[1],
            "fdb append 0e:f1:00:00:00:03 dev flannel-v6.1 dst fd00:49::3 self permanent"
        );
    }

    #[test]
    fn flannel_masquerades_pods_towards_the_outside_and_not_towards_pods() {
        let wiring = wiring(&ClusterSpec::of(Shape::Flannel).families(Families::Ipv6));
        let [(Family::V6, rules)] = wiring.firewall.as_slice() else {
            panic!("{:?}", wiring.firewall);
        };
        let order: Vec<_> = rules
            .lines()
            .filter(|rule| rule.contains("fd00:10:244::/48 -d fd00:10:244::/64") || rule.contains("ff00::/8"))
            .collect();
        assert_eq!(
            order,
            [
                "-A FLANNEL-POSTRTG -s fd00:10:244::/48 -d fd00:10:244::/64 -j RETURN",
                "-A FLANNEL-POSTRTG ! -s fd00:10:244::/48 -d fd00:10:244::/64 -j RETURN",
                "-A FLANNEL-POSTRTG -s fd00:10:244::/48 ! -d ff00::/8 -j MASQUERADE --random-fully",
            ]
        );
    }
}
