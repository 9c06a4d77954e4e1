//! The table `nat`: who is led where.

use super::{Chains, MASQUERADE, comment, to_address, to_port};
use crate::kube_proxy::{
    desired::{Family, NodeRules, ServicePort},
    names::{iptables_chain, iptables_endpoint},
};

/// All chains of the table.
pub(super) fn chains(node: &NodeRules, ports: &[ServicePort]) -> Chains {
    let mut chains = Chains::from([
        ("KUBE-SERVICES".to_owned(), Vec::new()),
        ("KUBE-NODEPORTS".to_owned(), Vec::new()),
        (
            "KUBE-MARK-MASQ".to_owned(),
            vec![format!("-j MARK --or-mark {MASQUERADE}")],
        ),
        (
            "KUBE-POSTROUTING".to_owned(),
            vec![
                format!("-m mark ! --mark {MASQUERADE}/{MASQUERADE} -j RETURN"),
                // The mark is off before the packet is wrapped by a tunnel, which would have it again.
                format!("-j MARK --xor-mark {MASQUERADE}"),
                format!(
                    "{} -j MASQUERADE --random-fully",
                    comment("kubernetes service traffic requiring SNAT")
                ),
            ],
        ),
    ]);
    for port in ports {
        dispatch(port, &mut chains);
        policies(node, port, &mut chains);
        external(node, port, &mut chains);
        firewall(node, port, &mut chains);
    }
    let node_ports = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain");
    let not_loopback = match node.family {
        // `iptables.localhostNodePorts`, on by default.
        Family::V4 => "",
        Family::V6 => " ! -d ::1/128",
    };
    add(
        &mut chains,
        "KUBE-SERVICES",
        format!("{node_ports}{not_loopback} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"),
    );
    chains
}

/// From a destination to the chain that chooses an endpoint.
fn dispatch(port: &ServicePort, chains: &mut Chains) {
    let id = port.id();
    if !port.internal_endpoints().is_empty() {
        let to = to_address(port, port.cluster_ip);
        let rule = format!("{} {to} -j {}", comment(&format!("{id} cluster IP")), internal(port));
        add(chains, "KUBE-SERVICES", rule);
    }
    if !port.endpoints.any() {
        return;
    }
    let outside = iptables_chain("KUBE-EXT-", port);
    for address in &port.external_ips {
        let text = comment(&format!("{id} external IP"));
        let rule = format!("{text} {} -j {outside}", to_address(port, *address));
        add(chains, "KUBE-SERVICES", rule);
    }
    for address in &port.load_balancer_ips {
        let chain = if port.source_ranges.is_empty() {
            outside.clone()
        } else {
            iptables_chain("KUBE-FW-", port)
        };
        let text = comment(&format!("{id} loadbalancer IP"));
        let rule = format!("{text} {} -j {chain}", to_address(port, *address));
        add(chains, "KUBE-SERVICES", rule);
    }
    if let Some(number) = port.node_port {
        let rule = format!("{} {} -j {outside}", comment(&id), to_port(port, number));
        add(chains, "KUBE-NODEPORTS", rule);
    }
}

/// The chains that choose among endpoints, and those of the endpoints.
fn policies(node: &NodeRules, port: &ServicePort, chains: &mut Chains) {
    let id = port.id();
    if !port.internal_endpoints().is_empty()
        && let Some(pods) = node.cluster_cidr
    {
        let to = to_address(port, port.cluster_ip);
        let text = comment(&format!("{id} cluster IP"));
        add(
            chains,
            &internal(port),
            format!("{text} {to} ! -s {pods} -j KUBE-MARK-MASQ"),
        );
    }
    let lists = [
        ("KUBE-SVC-", port.cluster_endpoints()),
        ("KUBE-SVL-", port.local_endpoints()),
    ];
    for (prefix, endpoints) in lists {
        let chain = iptables_chain(prefix, port);
        if let Some(seconds) = port.affinity_seconds {
            for endpoint in endpoints {
                let name = iptables_endpoint(port, *endpoint);
                let text = comment(&format!("{id} -> {endpoint}"));
                let known = format!("-m recent --name {name} --rcheck --seconds {seconds} --reap");
                add(chains, &chain, format!("{text} {known} -j {name}"));
            }
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            let name = iptables_endpoint(port, *endpoint);
            let text = comment(&format!("{id} -> {endpoint}"));
            let chance = chance(endpoints.len() - index);
            add(chains, &chain, format!("{text}{chance} -j {name}"));
            chains.entry(name).or_insert_with(|| self::endpoint(port, *endpoint));
        }
    }
}

/// One of `left` endpoints, where those before have had their chance.
fn chance(left: usize) -> String {
    if left == 1 {
        return String::new();
    }
    let probability = 1.0 / f64::from(u32::try_from(left).unwrap_or(u32::MAX));
    format!(" -m statistic --mode random --probability {probability:.10}")
}

fn endpoint(port: &ServicePort, endpoint: std::net::SocketAddr) -> Vec<String> {
    let (text, protocol) = (comment(&port.id()), port.protocol.as_str());
    let remember = port.affinity_seconds.map_or(String::new(), |_| {
        format!(" -m recent --name {} --set", iptables_endpoint(port, endpoint))
    });
    vec![
        // A pod that meets itself must not see its own address.
        format!("{text} -s {} -j KUBE-MARK-MASQ", endpoint.ip()),
        format!("{text}{remember} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}"),
    ]
}

/// What all traffic to NodePorts, external IPs and load balancers passes.
fn external(node: &NodeRules, port: &ServicePort, chains: &mut Chains) {
    if !port.is_external() || !port.endpoints.any() {
        return;
    }
    let (id, chain) = (port.id(), iptables_chain("KUBE-EXT-", port));
    let everywhere = iptables_chain("KUBE-SVC-", port);
    if port.external_local {
        if let Some(pods) = node.cluster_cidr {
            let text = comment(&format!("pod traffic for {id} external destinations"));
            add(chains, &chain, format!("{text} -s {pods} -j {everywhere}"));
        }
        let from_here = "-m addrtype --src-type LOCAL";
        let text = comment(&format!("masquerade LOCAL traffic for {id} external destinations"));
        add(chains, &chain, format!("{text} {from_here} -j KUBE-MARK-MASQ"));
        let text = comment(&format!("route LOCAL traffic for {id} external destinations"));
        add(chains, &chain, format!("{text} {from_here} -j {everywhere}"));
    } else {
        let text = comment(&format!("masquerade traffic for {id} external destinations"));
        add(chains, &chain, format!("{text} -j KUBE-MARK-MASQ"));
    }
    // Both chains that rules here jump to must be there, if only empty: the other one ends in `filter`.
    chains.entry(everywhere.clone()).or_default();
    if !port.external_endpoints().is_empty() {
        let prefix = if port.external_local { "KUBE-SVL-" } else { "KUBE-SVC-" };
        add(chains, &chain, format!("-j {}", iptables_chain(prefix, port)));
    }
}

/// Whom a load balancer's address is for.
fn firewall(node: &NodeRules, port: &ServicePort, chains: &mut Chains) {
    if port.source_ranges.is_empty() || port.load_balancer_ips.is_empty() || !port.endpoints.any() {
        return;
    }
    let (id, chain) = (port.id(), iptables_chain("KUBE-FW-", port));
    let outside = iptables_chain("KUBE-EXT-", port);
    let text = comment(&format!("{id} loadbalancer IP"));
    for range in &port.source_ranges {
        add(chains, &chain, format!("{text} -s {range} -j {outside}"));
    }
    if port.source_ranges.iter().any(|range| range.contains(&node.node_ip)) {
        // The node speaks to an address that it has itself with that address.
        for address in &port.load_balancer_ips {
            add(chains, &chain, format!("{text} -s {address} -j {outside}"));
        }
    }
    let text = comment(&format!("other traffic to {id} will be dropped by KUBE-PROXY-FIREWALL"));
    add(chains, &chain, text);
}

fn internal(port: &ServicePort) -> String {
    iptables_chain(if port.internal_local { "KUBE-SVL-" } else { "KUBE-SVC-" }, port)
}

fn add(chains: &mut Chains, chain: &str, rule: String) {
    chains.entry(chain.to_owned()).or_default().push(rule);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube_proxy::fixtures::{node, port};

    fn rules_of(port: &ServicePort, chain: &str) -> Vec<String> {
        let chains = chains(&node(), std::slice::from_ref(port));
        chains.get(chain).cloned().unwrap_or_default()
    }

    #[test]
    fn a_cluster_ip_leads_to_each_endpoint_with_the_same_chance() {
        let port = port(&["10.180.0.1:80", "10.180.0.2:80", "10.180.0.3:80"], &[]);
        assert_eq!(
            rules_of(&port, "KUBE-SERVICES")[0],
            "-m comment --comment \"ns1/svc1:p80 cluster IP\" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j KUBE-SVC-XPGD46QRK7WJZT7O"
        );
        let rules = rules_of(&port, "KUBE-SVC-XPGD46QRK7WJZT7O");
        assert_eq!(
            rules[0],
            "-m comment --comment \"ns1/svc1:p80 cluster IP\" -m tcp -p tcp -d 172.30.0.41 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ"
        );
        let chances: Vec<_> = rules[1..]
            .iter()
            .map(|rule| rule.split("--probability ").nth(1))
            .collect();
        assert_eq!(chances[0].unwrap().split(' ').next(), Some("0.3333333333"));
        assert_eq!(chances[1].unwrap().split(' ').next(), Some("0.5000000000"));
        assert_eq!(chances[2], None);
        assert_eq!(
            rules_of(&port, "KUBE-SEP-SXIVWICOYRO3J4NJ"),
            [
                "-m comment --comment \"ns1/svc1:p80\" -s 10.180.0.1 -j KUBE-MARK-MASQ",
                "-m comment --comment \"ns1/svc1:p80\" -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80",
            ]
        );
    }

    #[test]
    fn clients_outside_are_masqueraded() {
        let port = ServicePort {
            node_port: Some(30_080),
            external_ips: vec![[203, 0, 113, 250].into()],
            ..port(&["10.180.0.1:80"], &[])
        };
        assert_eq!(
            rules_of(&port, "KUBE-EXT-XPGD46QRK7WJZT7O"),
            [
                "-m comment --comment \"masquerade traffic for ns1/svc1:p80 external destinations\" -j KUBE-MARK-MASQ",
                "-j KUBE-SVC-XPGD46QRK7WJZT7O",
            ]
        );
        assert_eq!(
            rules_of(&port, "KUBE-NODEPORTS"),
            ["-m comment --comment \"ns1/svc1:p80\" -m tcp -p tcp --dport 30080 -j KUBE-EXT-XPGD46QRK7WJZT7O"]
        );
    }

    #[test]
    fn a_local_policy_keeps_the_clients_address_and_short_circuits_pods_and_node() {
        let port = ServicePort {
            node_port: Some(30_080),
            external_local: true,
            ..port(&["10.180.0.1:80", "10.180.0.2:80"], &["10.180.0.2:80"])
        };
        let rules = rules_of(&port, "KUBE-EXT-XPGD46QRK7WJZT7O");
        assert!(
            rules[0].ends_with("-s 10.0.0.0/8 -j KUBE-SVC-XPGD46QRK7WJZT7O"),
            "{rules:?}"
        );
        assert!(
            rules[1].ends_with("-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ"),
            "{rules:?}"
        );
        assert_eq!(rules[3], "-j KUBE-SVL-XPGD46QRK7WJZT7O");
        assert_eq!(rules_of(&port, "KUBE-SVL-XPGD46QRK7WJZT7O").len(), 1);
    }

    #[test]
    fn a_client_keeps_its_endpoint_where_it_is_asked_for() {
        let port = ServicePort {
            affinity_seconds: Some(10_800),
            ..port(&["10.180.0.1:80"], &[])
        };
        let rules = rules_of(&port, "KUBE-SVC-XPGD46QRK7WJZT7O");
        assert_eq!(
            rules[1],
            "-m comment --comment \"ns1/svc1:p80 -> 10.180.0.1:80\" -m recent --name KUBE-SEP-SXIVWICOYRO3J4NJ --rcheck --seconds \
             10800 --reap -j KUBE-SEP-SXIVWICOYRO3J4NJ"
        );
        let rules = rules_of(&port, "KUBE-SEP-SXIVWICOYRO3J4NJ");
        assert!(
            rules[1].contains("-m recent --name KUBE-SEP-SXIVWICOYRO3J4NJ --set -m tcp"),
            "{rules:?}"
        );
    }

    #[test]
    fn source_ranges_stand_between_a_load_balancers_address_and_its_endpoints() {
        let port = ServicePort {
            load_balancer_ips: vec![[5, 6, 7, 8].into()],
            source_ranges: vec!["203.0.113.0/25".parse().unwrap()],
            ..port(&["10.180.0.1:80"], &[])
        };
        let rules = rules_of(&port, "KUBE-FW-XPGD46QRK7WJZT7O");
        assert!(
            rules[0].ends_with("-s 203.0.113.0/25 -j KUBE-EXT-XPGD46QRK7WJZT7O"),
            "{rules:?}"
        );
        assert_eq!(rules.len(), 2);
    }

    #[test]
    fn a_port_without_endpoints_is_not_translated() {
        let port = ServicePort {
            node_port: Some(30_080),
            ..port(&[], &[])
        };
        assert_eq!(rules_of(&port, "KUBE-NODEPORTS"), [""; 0]);
        assert_eq!(rules_of(&port, "KUBE-SERVICES").len(), 1, "only the rule for NodePorts");
    }
}
