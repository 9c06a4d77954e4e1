//! From tables to the scripts that `nft -f` carries out, each as one transaction.

use std::fmt::Write as _;

use super::{Chain, TABLE, Table};

/// How a table gets from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The new state.
    pub update: String,
    /// Afterwards: what nothing leads to any more. A transaction of its own, because kernels have refused to delete a chain in
    /// the one that takes its last element away. Empty if there is nothing.
    pub removal: String,
}

/// What leads from `before` (none: whatever there is goes) to `after`. Only what differs is written, as kube-proxy does it.
pub fn script(before: Option<&Table>, after: &Table) -> Script {
    let (ip, mut update) = (after.family, String::new());
    if before.is_none() {
        // Adding first makes deleting succeed where there is none.
        let _ = writeln!(update, "add table {ip} {TABLE}\ndelete table {ip} {TABLE}");
    }
    let empty = Table::empty(ip);
    let before = before.unwrap_or(&empty);
    let _ = writeln!(
        update,
        "add table {ip} {TABLE} {{ comment \"rules for kube-proxy\" ; }}"
    );
    for (name, (kind, body)) in &after.sets {
        if !before.sets.contains_key(name) {
            let _ = writeln!(update, "add {kind} {ip} {TABLE} {name} {{ {body} ; }}");
        }
    }
    let changed = || {
        after
            .chains
            .iter()
            .filter(|(name, chain)| before.chains.get(*name) != Some(*chain))
    };
    for (name, Chain { hook, .. }) in changed() {
        let hook = if hook.is_empty() {
            String::new()
        } else {
            format!(" {{ {hook} ; }}")
        };
        let _ = writeln!(update, "add chain {ip} {TABLE} {name}{hook}");
        let _ = writeln!(update, "flush chain {ip} {TABLE} {name}");
    }
    for (name, Chain { rules, .. }) in changed() {
        for rule in rules {
            let _ = writeln!(update, "add rule {ip} {TABLE} {name} {rule}");
        }
    }
    for (element, value) in &before.elements {
        if after.elements.get(element) != Some(value) {
            let (set, key) = element;
            let _ = writeln!(update, "delete element {ip} {TABLE} {set} {{ {key} }}");
        }
    }
    for (element, value) in &after.elements {
        if before.elements.get(element) != Some(value) {
            let (set, key) = element;
            let space = if value.is_empty() { "" } else { " " };
            let _ = writeln!(update, "add element {ip} {TABLE} {set} {{ {key}{space}{value} }}");
        }
    }
    Script {
        update,
        removal: removal(before, after),
    }
}

fn removal(before: &Table, after: &Table) -> String {
    let (ip, mut text) = (after.family, String::new());
    let stale = || before.chains.keys().filter(|name| !after.chains.contains_key(*name));
    // Chains lead to each other: emptied first, none is in use.
    for verb in ["flush", "delete"] {
        for name in stale() {
            let _ = writeln!(text, "{verb} chain {ip} {TABLE} {name}");
        }
    }
    for name in before.sets.keys().filter(|name| !after.sets.contains_key(*name)) {
        let _ = writeln!(text, "delete set {ip} {TABLE} {name}");
    }
    text
}

/// All that `kube-proxy --cleanup` does, of both families.
pub fn cleanup() -> String {
    let mut text = String::new();
    for ip in ["ip", "ip6"] {
        let _ = writeln!(text, "add table {ip} {TABLE}\ndelete table {ip} {TABLE}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use crate::kube_proxy::fixtures::{node, port};

    #[test]
    fn a_start_replaces_what_there_is_in_one_transaction() {
        let script = script(None, &table(&node(), &[port(&["10.180.0.1:80"], &[])]));
        let lines: Vec<&str> = script.update.lines().take(3).collect();
        assert_eq!(
            lines,
            [
                "add table ip kube-proxy",
                "delete table ip kube-proxy",
                "add table ip kube-proxy { comment \"rules for kube-proxy\" ; }",
            ]
        );
        for line in [
            "add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }",
            "add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips",
            "add rule ip kube-proxy services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
            "add element ip kube-proxy nodeport-ips { 192.168.0.2 }",
            "add element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }",
        ] {
            assert!(
                script.update.lines().any(|candidate| candidate == line),
                "{line}\n{}",
                script.update
            );
        }
        assert_eq!(script.removal, "");
    }

    #[test]
    fn a_change_of_an_endpoint_touches_two_chains() {
        let before = table(&node(), &[port(&["10.180.0.1:80"], &[])]);
        let after = table(&node(), &[port(&["10.180.0.2:80"], &[])]);
        let script = script(Some(&before), &after);
        let chains = script.update.lines().filter(|line| line.starts_with("add chain"));
        assert_eq!(chains.count(), 2, "{}", script.update);
        assert!(!script.update.contains("element"), "{}", script.update);
        assert_eq!(
            script.removal,
            "flush chain ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80\n\
             delete chain ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80\n"
        );
    }

    #[test]
    fn a_service_that_goes_takes_its_elements_first() {
        let before = table(&node(), &[port(&["10.180.0.1:80"], &[])]);
        let script = script(Some(&before), &table(&node(), &[]));
        let lines: Vec<&str> = script.update.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "delete element ip kube-proxy cluster-ips { 172.30.0.41 }",
                "delete element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 }",
            ]
        );
        assert_eq!(script.removal.matches("delete chain").count(), 2);
    }
}
