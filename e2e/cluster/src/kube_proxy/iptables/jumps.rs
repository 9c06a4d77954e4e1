//! How packets come to kube-proxy's chains from the built-in ones, and how everything goes again.

use std::{collections::BTreeSet, fmt::Write as _};

/// Jumps of one table: from, conditions, to. kube-proxy puts each in front of what is there, and `kube-proxy --cleanup` finds
/// them by exactly these words.
type Jumps = &'static [(&'static str, &'static str, &'static str)];

const FILTER: Jumps = &[
    (
        "INPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\"",
        "KUBE-EXTERNAL-SERVICES",
    ),
    (
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\"",
        "KUBE-EXTERNAL-SERVICES",
    ),
    (
        "INPUT",
        "-m comment --comment \"kubernetes health check service ports\"",
        "KUBE-NODEPORTS",
    ),
    (
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\"",
        "KUBE-SERVICES",
    ),
    (
        "OUTPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\"",
        "KUBE-SERVICES",
    ),
    (
        "FORWARD",
        "-m comment --comment \"kubernetes forwarding rules\"",
        "KUBE-FORWARD",
    ),
    (
        "INPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\"",
        "KUBE-PROXY-FIREWALL",
    ),
    (
        "OUTPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\"",
        "KUBE-PROXY-FIREWALL",
    ),
    (
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\"",
        "KUBE-PROXY-FIREWALL",
    ),
    ("INPUT", "", "KUBE-FIREWALL"),
    ("OUTPUT", "", "KUBE-FIREWALL"),
];

const NAT: Jumps = &[
    (
        "PREROUTING",
        "-m comment --comment \"kubernetes service portals\"",
        "KUBE-SERVICES",
    ),
    (
        "OUTPUT",
        "-m comment --comment \"kubernetes service portals\"",
        "KUBE-SERVICES",
    ),
    (
        "POSTROUTING",
        "-m comment --comment \"kubernetes postrouting rules\"",
        "KUBE-POSTROUTING",
    ),
];

/// A chain without rules, in every table: once it is gone, somebody has flushed iptables, and kube-proxy begins anew.
const CANARY: &str = "KUBE-PROXY-CANARY";

/// Chains of kube-proxy that `--cleanup` takes away.
const OWN: [&str; 7] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
];
const OWN_PREFIXES: [&str; 5] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"];

/// Input for a restore that adds the jumps that are not in `saved`, the output of `iptables-save`, once the chains are there.
pub fn install(saved: &str) -> String {
    let mut text = String::new();
    let tables: [(&str, Jumps); 3] = [("mangle", &[]), ("filter", FILTER), ("nat", NAT)];
    for (table, jumps) in tables {
        let there: BTreeSet<&str> = lines_of(saved, table).collect();
        let _ = writeln!(text, "*{table}\n:{CANARY} - [0:0]");
        for (from, conditions, to) in jumps {
            let jump = jump(from, conditions, to);
            if !there.contains(format!("-A {jump}").as_str()) {
                let _ = writeln!(text, "-I {jump}");
            }
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// Input for a restore that takes away what `kube-proxy --cleanup` does, of what is in `saved`: not `KUBE-FIREWALL`, which is
/// the kubelet's too.
pub fn cleanup(saved: &str) -> String {
    let mut text = String::new();
    let tables: [(&str, Jumps); 3] = [("mangle", &[]), ("filter", FILTER), ("nat", NAT)];
    for (table, jumps) in tables {
        let there: BTreeSet<&str> = lines_of(saved, table).collect();
        let chains = || {
            there
                .iter()
                .filter_map(|line| line.strip_prefix(':')?.split(' ').next())
        };
        let own: Vec<&str> = chains().filter(|chain| is_own(chain)).collect();
        let _ = writeln!(text, "*{table}");
        for chain in &own {
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        for (from, conditions, to) in jumps.iter().filter(|(_, _, to)| own.contains(to)) {
            let jump = jump(from, conditions, to);
            if there.contains(format!("-A {jump}").as_str()) {
                let _ = writeln!(text, "-D {jump}");
            }
        }
        for chain in &own {
            let _ = writeln!(text, "-X {chain}");
        }
        text.push_str("COMMIT\n");
    }
    text
}

fn is_own(chain: &str) -> bool {
    chain == CANARY || OWN.contains(&chain) || is_of_a_service(chain)
}

pub(super) fn is_of_a_service(chain: &str) -> bool {
    OWN_PREFIXES.iter().any(|prefix| chain.starts_with(prefix))
}

fn jump(from: &str, conditions: &str, to: &str) -> String {
    let space = if conditions.is_empty() { "" } else { " " };
    format!("{from} {conditions}{space}-j {to}")
}

/// The lines of one table.
pub(super) fn lines_of<'s>(saved: &'s str, table: &str) -> impl Iterator<Item = &'s str> {
    let head = format!("*{table}");
    let lines = saved.lines().skip_while(move |line| *line != head);
    lines.skip(1).take_while(|line| *line != "COMMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "*filter\n\
         :INPUT ACCEPT [0:0]\n\
         :KUBE-FIREWALL - [0:0]\n\
         :KUBE-FORWARD - [0:0]\n\
         -A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n\
         COMMIT\n\
         *nat\n\
         :CNI-HOSTPORT-DNAT - [0:0]\n\
         :KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]\n\
         COMMIT\n";

    #[test]
    fn only_jumps_that_are_missing_are_added() {
        let text = install(SAVED);
        assert!(!text.contains("-j KUBE-FORWARD"), "{text}");
        assert!(
            text.contains("-I PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"),
            "{text}"
        );
        assert_eq!(text.matches(":KUBE-PROXY-CANARY").count(), 3, "{text}");
    }

    #[test]
    fn cleanup_takes_kube_proxys_chains_and_no_others() {
        assert_eq!(
            cleanup(SAVED),
            "*mangle\nCOMMIT\n\
             *filter\n\
             :KUBE-FORWARD - [0:0]\n\
             -D FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n\
             -X KUBE-FORWARD\n\
             COMMIT\n\
             *nat\n:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]\n-X KUBE-SEP-SXIVWICOYRO3J4NJ\nCOMMIT\n"
        );
    }
}
