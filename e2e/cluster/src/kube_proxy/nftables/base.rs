//! What every node has, whatever its Services.

use super::{MASQUERADE, Table, map};
use crate::kube_proxy::desired::{Family, NodeRules};

/// Base chains, and the regular chains that they lead to for the first packet of a connection.
const HOOKS: [(&str, &str, &[&str]); 8] = [
    (
        "filter-prerouting-pre-dnat",
        "type filter hook prerouting priority -110",
        &["ct state new jump firewall-check"],
    ),
    (
        "filter-output-pre-dnat",
        "type filter hook output priority -110",
        &["ct state new jump firewall-check"],
    ),
    (
        "filter-input",
        "type filter hook input priority 0",
        &[
            "ct state new jump nodeport-endpoints-check",
            "ct state new jump service-endpoints-check",
        ],
    ),
    (
        "filter-forward",
        "type filter hook forward priority 0",
        &[
            "ct state new jump service-endpoints-check",
            "ct state new jump cluster-ips-check",
        ],
    ),
    (
        "filter-output",
        "type filter hook output priority 0",
        &[
            "ct state new jump service-endpoints-check",
            "ct state new jump cluster-ips-check",
        ],
    ),
    (
        "nat-prerouting",
        "type nat hook prerouting priority -100",
        &["jump services"],
    ),
    ("nat-output", "type nat hook output priority -100", &["jump services"]),
    (
        "nat-postrouting",
        "type nat hook postrouting priority 100",
        &["jump masquerading"],
    ),
];

/// The table without a Service.
pub(super) fn table(node: &NodeRules) -> Table {
    let mut table = Table::empty(match node.family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    });
    sets(node, &mut table);
    for (chain, hook, rules) in HOOKS {
        table.chains.entry(chain.to_owned()).or_default().hook = hook;
        for rule in rules {
            table.rule(chain, *rule);
        }
    }
    table.rule("mark-for-masquerade", format!("mark set mark or {MASQUERADE}"));
    table.rule("masquerading", format!("mark and {MASQUERADE} == 0 return"));
    table.rule("masquerading", format!("mark set mark xor {MASQUERADE}"));
    table.rule("masquerading", "masquerade fully-random");
    table.rule("reject-chain", "reject");
    let ip = table.family;
    table.rule(
        "cluster-ips-check",
        format!("{ip} daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\""),
    );
    for (chain, by_port, set) in [
        ("services", false, map::SERVICE_IPS),
        ("services", true, map::SERVICE_NODE_PORTS),
        ("service-endpoints-check", false, map::NO_ENDPOINT_SERVICES),
        ("nodeport-endpoints-check", true, map::NO_ENDPOINT_NODE_PORTS),
        ("firewall-check", false, map::FIREWALL_IPS),
    ] {
        let destination = if by_port {
            format!("{ip} daddr @nodeport-ips meta l4proto . th dport")
        } else {
            format!("{ip} daddr . meta l4proto . th dport")
        };
        table.rule(chain, format!("{destination} vmap @{set}"));
    }
    table.element(map::NODE_PORT_IPS, node.node_ip.to_string(), "");
    table
}

fn sets(node: &NodeRules, table: &mut Table) {
    let address = match node.family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let by_address = format!("{address} . inet_proto . inet_service : verdict");
    let by_port = "inet_proto . inet_service : verdict";
    let counted = if node.counters { " ; counter" } else { "" };
    for (name, comment) in [
        (map::CLUSTER_IPS, "Active ClusterIPs"),
        (map::NODE_PORT_IPS, "IPs that accept NodePort traffic"),
    ] {
        let body = format!("type {address} ; comment \"{comment}\"");
        table.sets.insert(name.to_owned(), ("set", body));
    }
    for (name, kind, comment) in [
        (
            map::FIREWALL_IPS,
            by_address.as_str(),
            "destinations that are subject to LoadBalancerSourceRanges",
        ),
        (
            map::NO_ENDPOINT_NODE_PORTS,
            by_port,
            "vmap to drop or reject packets to service nodeports with no endpoints",
        ),
        (
            map::NO_ENDPOINT_SERVICES,
            &by_address,
            "vmap to drop or reject packets to services with no endpoints",
        ),
        (
            map::SERVICE_IPS,
            &by_address,
            "ClusterIP, ExternalIP and LoadBalancer IP traffic",
        ),
        (map::SERVICE_NODE_PORTS, by_port, "NodePort traffic"),
    ] {
        let body = format!("type {kind}{counted} ; comment \"{comment}\"");
        table.sets.insert(name.to_owned(), ("map", body));
    }
}
