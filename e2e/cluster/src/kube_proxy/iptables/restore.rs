//! From tables to the text that a restore reads.

use std::fmt::Write as _;

use super::{Chains, Tables};

/// Chains that stand for a whole node and not for one Service: kube-proxy writes them at every sync.
const BASE: [&str; 8] = [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-PROXY-FIREWALL",
    "KUBE-FIREWALL",
];

/// What is there of an earlier run, as far as it matters: which chains there are, so that those that are not wanted go.
/// `saved` is the output of `iptables-save`.
pub fn known(saved: &str) -> Tables {
    let chains = |table: &str| {
        let lines = super::jumps::lines_of(saved, table);
        let names = lines.filter_map(|line| line.strip_prefix(':')?.split(' ').next());
        let own = names.filter(|name| super::jumps::is_of_a_service(name));
        // No rule looks like this: the chain is written anew if it is wanted.
        own.map(|name| (name.to_owned(), vec!["unknown".to_owned()])).collect()
    };
    Tables {
        filter: chains("filter"),
        nat: chains("nat"),
    }
}

/// Everything.
pub fn full(tables: &Tables) -> String {
    partial(&Tables::default(), tables)
}

/// What leads from one state to another: the chains of the node, those of Services that differ, and the end of those that are
/// not wanted any more. This is the shape of kube-proxy's own partial syncs.
pub fn partial(before: &Tables, after: &Tables) -> String {
    let mut text = String::new();
    table("filter", &before.filter, &after.filter, &mut text);
    table("nat", &before.nat, &after.nat, &mut text);
    text
}

fn table(name: &str, before: &Chains, after: &Chains, text: &mut String) {
    let changed = || {
        after
            .iter()
            .filter(|(chain, rules)| BASE.contains(&chain.as_str()) || before.get(*chain) != Some(*rules))
    };
    let stale = || before.keys().filter(|chain| !after.contains_key(*chain));
    let _ = writeln!(text, "*{name}");
    // Naming a chain makes it, or empties it: rules may jump to chains that come later.
    for chain in changed().map(|(chain, _rules)| chain).chain(stale()) {
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    for (chain, rules) in changed() {
        for rule in rules {
            let _ = writeln!(text, "-A {chain} {rule}");
        }
    }
    for chain in stale() {
        let _ = writeln!(text, "-X {chain}");
    }
    text.push_str("COMMIT\n");
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use crate::kube_proxy::fixtures::{node, port};

    #[test]
    fn a_change_of_an_endpoint_touches_its_service_only() {
        let other = crate::kube_proxy::desired::ServicePort {
            name: "svc2".to_owned(),
            ..port(&["10.180.0.9:80"], &[])
        };
        let before = tables(&node(), &[port(&["10.180.0.1:80"], &[]), other.clone()]);
        let after = tables(&node(), &[port(&["10.180.0.2:80"], &[]), other]);
        let text = partial(&before, &after);
        assert!(text.contains(":KUBE-SVC-XPGD46QRK7WJZT7O - [0:0]"), "{text}");
        assert!(text.contains("-X KUBE-SEP-SXIVWICOYRO3J4NJ"), "{text}");
        assert!(!text.contains("10.180.0.9"), "{text}");
        assert!(
            text.contains("-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP"),
            "{text}"
        );
    }

    #[test]
    fn what_is_restored_whole_begins_with_every_chain() {
        let text = full(&tables(&node(), &[port(&["10.180.0.1:80"], &[])]));
        let (filter, nat) = text.split_once("COMMIT\n*nat\n").unwrap();
        assert!(
            filter.starts_with("*filter\n:KUBE-EXTERNAL-SERVICES - [0:0]\n"),
            "{filter}"
        );
        let chains: Vec<&str> = nat.lines().take_while(|line| line.starts_with(':')).collect();
        assert_eq!(chains.len(), 6, "{chains:?}");
        assert!(nat.ends_with("COMMIT\n"));
    }
}
