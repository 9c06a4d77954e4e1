//! What one port of a Service adds.

use std::net::{IpAddr, SocketAddr};

use super::{Table, map};
use crate::kube_proxy::{
    desired::{NodeRules, ServicePort},
    names::{nftables_chain, nftables_endpoint},
};

/// Adds the port's chains and elements.
pub(super) fn add(node: &NodeRules, port: &ServicePort, table: &mut Table) {
    table.element(map::CLUSTER_IPS, port.cluster_ip.to_string(), "");
    dispatch(port, table);
    refusals(port, table);
    policies(node, port, table);
    external(node, port, table);
    firewall(node, port, table);
}

/// From a destination to the chain that chooses an endpoint.
fn dispatch(port: &ServicePort, table: &mut Table) {
    if !port.internal_endpoints().is_empty() {
        let chain = internal(port);
        table.element(map::SERVICE_IPS, to(port, port.cluster_ip), format!(": goto {chain}"));
    }
    if !port.is_external() || !port.endpoints.any() {
        return;
    }
    let outside = nftables_chain("external-", port);
    for address in port.external_ips.iter().chain(&port.load_balancer_ips) {
        table.element(map::SERVICE_IPS, to(port, *address), format!(": goto {outside}"));
    }
    if let Some(number) = port.node_port {
        let key = format!("{} . {number}", port.protocol.as_str());
        table.element(map::SERVICE_NODE_PORTS, key, format!(": goto {outside}"));
    }
}

/// What answers in the place of endpoints that are not there.
fn refusals(port: &ServicePort, table: &mut Table) {
    let verdict = if port.endpoints.any() {
        "drop"
    } else {
        "goto reject-chain"
    };
    let value = format!("comment \"{}\" : {verdict}", port.id());
    if port.internal_endpoints().is_empty() {
        table.element(map::NO_ENDPOINT_SERVICES, to(port, port.cluster_ip), value.clone());
    }
    if !port.external_endpoints().is_empty() {
        return;
    }
    for address in port.external_ips.iter().chain(&port.load_balancer_ips) {
        table.element(map::NO_ENDPOINT_SERVICES, to(port, *address), value.clone());
    }
    if let Some(number) = port.node_port {
        let key = format!("{} . {number}", port.protocol.as_str());
        table.element(map::NO_ENDPOINT_NODE_PORTS, key, value);
    }
}

/// The chains that choose among endpoints, and those of the endpoints.
fn policies(node: &NodeRules, port: &ServicePort, table: &mut Table) {
    let ip = table.family;
    if !port.internal_endpoints().is_empty()
        && let Some(pods) = node.cluster_cidr
    {
        let from_elsewhere = format!("{ip} daddr {} {ip} saddr != {pods}", port.cluster_ip);
        table.rule(&internal(port), format!("{from_elsewhere} jump mark-for-masquerade"));
    }
    let lists = [
        ("service-", port.cluster_endpoints()),
        ("local-", port.local_endpoints()),
    ];
    for (prefix, endpoints) in lists {
        if endpoints.is_empty() {
            continue;
        }
        let chain = nftables_chain(prefix, port);
        if port.affinity_seconds.is_some() {
            for endpoint in endpoints {
                let known = nftables_endpoint("affinity-", port, *endpoint);
                let goto = nftables_endpoint("endpoint-", port, *endpoint);
                table.rule(&chain, format!("{ip} saddr @{known} goto {goto}"));
            }
        }
        let choices: Vec<String> = endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| format!("{index} : goto {}", nftables_endpoint("endpoint-", port, *endpoint)))
            .collect();
        let (count, choices) = (endpoints.len(), choices.join(" , "));
        table.rule(&chain, format!("numgen random mod {count} vmap {{ {choices} }}"));
        for endpoint in endpoints {
            self::endpoint(port, *endpoint, table);
        }
    }
}

fn endpoint(port: &ServicePort, endpoint: SocketAddr, table: &mut Table) {
    let chain = nftables_endpoint("endpoint-", port, endpoint);
    if table.chains.contains_key(&chain) {
        return;
    }
    let ip = table.family;
    // A pod that meets itself must not see its own address.
    table.rule(&chain, format!("{ip} saddr {} jump mark-for-masquerade", endpoint.ip()));
    if let Some(seconds) = port.affinity_seconds {
        let known = nftables_endpoint("affinity-", port, endpoint);
        let address = if ip == "ip" { "ipv4_addr" } else { "ipv6_addr" };
        let body = format!("type {address} ; flags dynamic,timeout ; timeout {seconds}s");
        table.sets.insert(known.clone(), ("set", body));
        table.rule(&chain, format!("update @{known} {{ {ip} saddr }}"));
    }
    let protocol = port.protocol.as_str();
    table.rule(&chain, format!("meta l4proto {protocol} dnat to {endpoint}"));
}

/// What all traffic to NodePorts, external IPs and load balancers passes.
fn external(node: &NodeRules, port: &ServicePort, table: &mut Table) {
    if !port.is_external() || !port.endpoints.any() {
        return;
    }
    let (ip, chain) = (table.family, nftables_chain("external-", port));
    let everywhere = nftables_chain("service-", port);
    if port.external_local {
        if !port.cluster_endpoints().is_empty() {
            if let Some(pods) = node.cluster_cidr {
                let rule = format!("{ip} saddr {pods} goto {everywhere} comment \"short-circuit pod traffic\"");
                table.rule(&chain, rule);
            }
            let mark = "fib saddr type local jump mark-for-masquerade comment \"masquerade local traffic\"";
            table.rule(&chain, mark);
            let rule = format!("fib saddr type local goto {everywhere} comment \"short-circuit local traffic\"");
            table.rule(&chain, rule);
        }
    } else {
        table.rule(&chain, "jump mark-for-masquerade");
    }
    if !port.external_endpoints().is_empty() {
        let prefix = if port.external_local { "local-" } else { "service-" };
        table.rule(&chain, format!("goto {}", nftables_chain(prefix, port)));
    }
}

/// Whom a load balancer's address is for.
fn firewall(node: &NodeRules, port: &ServicePort, table: &mut Table) {
    if port.source_ranges.is_empty() || port.load_balancer_ips.is_empty() || !port.endpoints.any() {
        return;
    }
    let chain = nftables_chain("firewall-", port);
    for address in &port.load_balancer_ips {
        table.element(map::FIREWALL_IPS, to(port, *address), format!(": goto {chain}"));
    }
    let mut sources: Vec<String> = port.source_ranges.iter().map(ToString::to_string).collect();
    if port.source_ranges.iter().any(|range| range.contains(&node.node_ip)) {
        // The node speaks to an address that it has itself with that address.
        sources.extend(port.load_balancer_ips.iter().map(ToString::to_string));
    }
    let (ip, sources) = (table.family, sources.join(", "));
    table.rule(&chain, format!("{ip} saddr != {{ {sources} }} drop"));
}

fn internal(port: &ServicePort) -> String {
    nftables_chain(if port.internal_local { "local-" } else { "service-" }, port)
}

fn to(port: &ServicePort, address: IpAddr) -> String {
    format!("{address} . {} . {}", port.protocol.as_str(), port.port)
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use crate::kube_proxy::fixtures::{node, port};

    fn rules_of(table: &Table, chain: &str) -> Vec<String> {
        let found = table.chains.get(chain);
        found.map(|chain| chain.rules.clone()).unwrap_or_default()
    }

    fn element<'t>(table: &'t Table, set: &'static str, key: &str) -> Option<&'t str> {
        table.elements.get(&(set, key.to_owned())).map(String::as_str)
    }

    #[test]
    fn a_cluster_ip_leads_to_each_endpoint_with_the_same_chance() {
        let table = table(&node(), &[port(&["10.180.0.1:80", "10.180.0.2:80"], &[])]);
        assert_eq!(
            element(&table, "service-ips", "172.30.0.41 . tcp . 80"),
            Some(": goto service-ULMVA6XW-ns1/svc1/tcp/p80")
        );
        let rules = rules_of(&table, "service-ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(
            rules[0],
            "ip daddr 172.30.0.41 ip saddr != 10.0.0.0/8 jump mark-for-masquerade"
        );
        assert!(
            rules[1].starts_with(
                "numgen random mod 2 vmap { 0 : goto endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 , 1 : "
            ),
            "{rules:?}"
        );
        assert_eq!(
            rules_of(&table, "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"),
            [
                "ip saddr 10.180.0.1 jump mark-for-masquerade",
                "meta l4proto tcp dnat to 10.180.0.1:80"
            ]
        );
    }

    #[test]
    fn a_local_policy_without_a_local_endpoint_serves_pods_and_node_and_drops_others() {
        let port = ServicePort {
            node_port: Some(3001),
            external_local: true,
            ..port(&["10.180.0.1:80"], &[])
        };
        let table = table(&node(), &[port]);
        let rules = rules_of(&table, "external-ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(rules.len(), 3, "{rules:?}");
        assert_eq!(
            element(&table, "no-endpoint-nodeports", "tcp . 3001"),
            Some("comment \"ns1/svc1:p80\" : drop")
        );
    }

    #[test]
    fn without_any_endpoint_everyone_is_rejected() {
        let table = table(&node(), &[port(&[], &[])]);
        assert_eq!(
            element(&table, "no-endpoint-services", "172.30.0.41 . tcp . 80"),
            Some("comment \"ns1/svc1:p80\" : goto reject-chain")
        );
        assert_eq!(element(&table, "service-ips", "172.30.0.41 . tcp . 80"), None);
    }

    #[test]
    fn source_ranges_and_affinity_have_sets_of_their_own() {
        let port = ServicePort {
            load_balancer_ips: vec![[5, 6, 7, 8].into()],
            source_ranges: vec!["203.0.113.0/25".parse().unwrap()],
            affinity_seconds: Some(10_800),
            ..port(&["10.180.0.1:80"], &[])
        };
        let table = table(&node(), &[port]);
        assert_eq!(
            rules_of(&table, "firewall-ULMVA6XW-ns1/svc1/tcp/p80"),
            ["ip saddr != { 203.0.113.0/25 } drop"]
        );
        let known = "affinity-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80";
        assert_eq!(
            table.sets[known].1,
            "type ipv4_addr ; flags dynamic,timeout ; timeout 10800s"
        );
        let rules = rules_of(&table, "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80");
        assert_eq!(rules[1], format!("update @{known} {{ ip saddr }}"));
    }
}
