//! The table `filter`: who is refused, and what is let through.

use super::{Chains, MASQUERADE, comment, to_address, to_port};
use crate::kube_proxy::{
    desired::{Family, NodeRules, ServicePort},
    names::iptables_chain,
};

/// All chains of the table.
pub(super) fn chains(node: &NodeRules, ports: &[ServicePort]) -> Chains {
    let mut chains = Chains::from([
        (
            "KUBE-FORWARD".to_owned(),
            vec![
                // A packet outside of the window is not translated: its receiver would reset the connection.
                "-m conntrack --ctstate INVALID -j DROP".to_owned(),
                format!(
                    "{} -m mark --mark {MASQUERADE}/{MASQUERADE} -j ACCEPT",
                    comment("kubernetes forwarding rules")
                ),
                format!(
                    "{} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    comment("kubernetes forwarding conntrack rule")
                ),
            ],
        ),
        ("KUBE-FIREWALL".to_owned(), Vec::new()),
    ]);
    for empty in [
        "KUBE-SERVICES",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-NODEPORTS",
        "KUBE-PROXY-FIREWALL",
    ] {
        chains.insert(empty.to_owned(), Vec::new());
    }
    if node.family == Family::V4 {
        // NodePorts on loopback need `route_localnet`, and this against neighbours that use it (CVE-2020-8558).
        let rule = "-d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP";
        let text = comment("block incoming localnet connections");
        add(&mut chains, "KUBE-FIREWALL", format!("{text} {rule}"));
    }
    for port in ports {
        refusals(port, &mut chains);
        if let Some(number) = port.health_check_node_port {
            let text = comment(&format!("{} health check node port", port.id()));
            let rule = format!("{text} -m tcp -p tcp --dport {number} -j ACCEPT");
            add(&mut chains, "KUBE-NODEPORTS", rule);
        }
        if port.endpoints.any() && !port.source_ranges.is_empty() {
            let chain = iptables_chain("KUBE-FW-", port);
            let text = comment(&format!("{} traffic not accepted by {chain}", port.id()));
            for address in &port.load_balancer_ips {
                let to = to_address(port, *address);
                add(&mut chains, "KUBE-PROXY-FIREWALL", format!("{text} {to} -j DROP"));
            }
        }
    }
    chains
}

/// What answers in the place of endpoints that are not there.
fn refusals(port: &ServicePort, chains: &mut Chains) {
    let id = port.id();
    let (text, target) = if port.endpoints.any() {
        (comment(&format!("{id} has no local endpoints")), "DROP")
    } else {
        (comment(&format!("{id} has no endpoints")), "REJECT")
    };
    if port.internal_endpoints().is_empty() {
        let to = to_address(port, port.cluster_ip);
        add(chains, "KUBE-SERVICES", format!("{text} {to} -j {target}"));
    }
    if !port.external_endpoints().is_empty() {
        return;
    }
    for address in port.external_ips.iter().chain(&port.load_balancer_ips) {
        let to = to_address(port, *address);
        add(chains, "KUBE-EXTERNAL-SERVICES", format!("{text} {to} -j {target}"));
    }
    if let Some(number) = port.node_port {
        let to = to_port(port, number);
        let rule = format!("{text} -m addrtype --dst-type LOCAL {to} -j {target}");
        add(chains, "KUBE-EXTERNAL-SERVICES", rule);
    }
}

fn add(chains: &mut Chains, chain: &str, rule: String) {
    chains.entry(chain.to_owned()).or_default().push(rule);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube_proxy::fixtures::{node, port};

    #[test]
    fn without_any_endpoint_everyone_is_rejected() {
        let port = ServicePort {
            node_port: Some(30_080),
            external_ips: vec![[203, 0, 113, 250].into()],
            ..port(&[], &[])
        };
        let chains = chains(&node(), &[port]);
        assert_eq!(
            chains["KUBE-SERVICES"],
            [
                "-m comment --comment \"ns1/svc1:p80 has no endpoints\" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j REJECT"
            ]
        );
        assert_eq!(
            chains["KUBE-EXTERNAL-SERVICES"],
            [
                "-m comment --comment \"ns1/svc1:p80 has no endpoints\" -m tcp -p tcp -d 203.0.113.250 --dport 80 -j REJECT",
                "-m comment --comment \"ns1/svc1:p80 has no endpoints\" -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30080 -j \
                 REJECT",
            ]
        );
    }

    #[test]
    fn without_a_local_endpoint_a_local_policy_drops() {
        let port = ServicePort {
            node_port: Some(30_080),
            external_local: true,
            ..port(&["10.180.0.1:80"], &[])
        };
        let chains = chains(&node(), &[port]);
        assert_eq!(chains["KUBE-SERVICES"], [""; 0]);
        let rules = &chains["KUBE-EXTERNAL-SERVICES"];
        assert!(
            rules[0].contains("has no local endpoints") && rules[0].ends_with("-j DROP"),
            "{rules:?}"
        );
    }
}
